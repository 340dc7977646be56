//! The processes that are measured, each started under its own name from this executable.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use adtally_devstack::{LogTarget, ManagedProcess, ProcessOptions, free_port};
use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::bare;
use crate::lab::{Ground, Lab};

/// How long a process may take to be ready, and to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running process, killed when it is dropped.
pub(crate) struct Program {
    pub(crate) address: SocketAddr,
    process: ManagedProcess,
}

impl Program {
    /// An API on `ground`.
    pub(crate) async fn api(ground: &Ground<'_>, more: &[(&str, String)]) -> anyhow::Result<Self> {
        let environment = own(ground, more);
        Self::start(ground.lab, "adtally-api", "ADTALLY_BIND", &environment).await
    }

    /// A worker on `ground`.
    pub(crate) async fn worker(ground: &Ground<'_>) -> anyhow::Result<Self> {
        Self::worker_with(ground, &[]).await
    }

    /// A worker on `ground`, with more variables.
    pub(crate) async fn worker_with(
        ground: &Ground<'_>,
        more: &[(&str, String)],
    ) -> anyhow::Result<Self> {
        let environment = own(ground, more);
        Self::start(
            ground.lab,
            "adtally-worker",
            "ADTALLY_HEALTH_BIND",
            &environment,
        )
        .await
    }

    /// The bare handler, with so many HTTP threads, or as many as its server takes by itself.
    pub(crate) async fn bare(lab: &Lab, workers: Option<NonZeroUsize>) -> anyhow::Result<Self> {
        let workers = workers.map(|workers| (bare::WORKERS.to_owned(), workers.to_string()));
        Self::start(lab, bare::NAME, bare::BIND, workers.as_slice()).await
    }

    async fn start(
        lab: &Lab,
        name: &str,
        bind: &str,
        environment: &[(String, String)],
    ) -> anyhow::Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let log = lab.dir().join(format!("{name}.log"));
        let options = environment.iter().fold(
            ProcessOptions::new(name, linked(&lab.dir(), name)?),
            |options, (name, value)| options.env(name, value),
        );
        let options = options
            .env(bind, address.to_string())
            .env_remove("ADTALLY_TIMEZONE")
            .env_remove("ADTALLY_DATABASE_URL_FILE")
            .env_remove("ADTALLY_AMQP_URL_FILE")
            .log(LogTarget::File(log.clone()));
        let program = Self {
            address,
            process: ManagedProcess::spawn(options)?,
        };
        let deadline = Instant::now() + PATIENCE;
        while !program
            .get("/readyz")
            .await
            .is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
        {
            if program.process.has_exited() || Instant::now() > deadline {
                let log = std::fs::read_to_string(&log).unwrap_or_default();
                bail!("{name} did not get ready: {log}");
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(program)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Its answer to a GET request, head and body.
    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect(self.address).await?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    /// The sum of the lines of its metrics that begin with `name`.
    pub(crate) async fn metric(&self, name: &str) -> anyhow::Result<u64> {
        let answer = self.get("/metrics").await?;
        let values = answer
            .lines()
            .filter(|line| line.starts_with(name))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        Ok(values.sum())
    }

    /// Ends it as systemd would.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        let status = self.process.stop(PATIENCE).await;
        if status.success() {
            Ok(())
        } else {
            bail!("{} ended with {status}", self.process.name())
        }
    }
}

fn own(ground: &Ground<'_>, more: &[(&str, String)]) -> Vec<(String, String)> {
    let more = more
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()));
    let all = ground.environment().into_iter();
    all.map(|(name, value)| (name.to_owned(), value))
        .chain(more)
        .collect()
}

/// A link of that name to this executable.
fn linked(dir: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let link = dir.join(name);
    if !link.exists() {
        symlink(std::env::current_exe()?, &link)
            .with_context(|| format!("linking {}", link.display()))?;
    }
    Ok(link)
}
