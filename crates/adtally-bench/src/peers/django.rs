//! Django with Celery, from `peers/django`: see the README there.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use adtally_devstack::{LogTarget, ManagedProcess, ProcessOptions, free_port};
use anyhow::{Context, bail, ensure};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::lab::{Ground, Lab};

/// Its sources.
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/django");
/// The Python environment with its packages, below the working directory. Made once.
const ENVIRONMENT: &str = "target/bench-django";
/// How long a process may take to listen or to stop, and storing may stand still.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often rows are counted: seldom, as the peer's database pays for it.
const POLL: Duration = Duration::from_secs(1);

/// How it is written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Variant {
    /// As the manuals say.
    Plain,
    /// For speed.
    Expert,
}

impl Variant {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Expert => "expert",
        }
    }

    /// The worker's arguments for the README's setting.
    fn pool(self) -> [&'static str; 2] {
        match self {
            Self::Plain => ["-c", "2"],
            Self::Expert => ["-P", "solo"],
        }
    }
}

/// The web server and the worker, on a database and a queue of their own.
pub(crate) struct Django<'a> {
    pub(crate) address: SocketAddr,
    ground: Ground<'a>,
    web: ManagedProcess,
    worker: ManagedProcess,
}

impl<'a> Django<'a> {
    /// Starts both. The worker may still be starting; its first rows show that it is not.
    pub(crate) async fn start(lab: &'a Lab, variant: Variant) -> anyhow::Result<Self> {
        let programs = environment().await?;
        let ground = lab.empty_ground().await?;
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let variables = variables(&ground, variant, address);
        let mut migrate = Command::new(programs.join("python"));
        migrate.args(["manage.py", "migrate", "--verbosity", "0"]);
        run(migrate.current_dir(SOURCES).envs(variables.clone())).await?;
        let start = |name, args: &[&str]| spawn(lab, &programs, name, args, &variables);
        let web = start(
            "gunicorn",
            &["-c", "gunicorn.conf.py", "peer.wsgi:application"],
        )?;
        let mut work = vec!["-A", "peer", "worker", "-l", "WARNING"];
        work.extend(variant.pool());
        let worker = start("celery", &work)?;
        let peer = Self {
            address,
            ground,
            web,
            worker,
        };
        peer.listens().await?;
        Ok(peer)
    }

    /// What it consists of, for a [`Meter`](crate::usage::Meter).
    pub(crate) fn pids(&self) -> [(&'static str, u32); 2] {
        [("web", self.web.pid()), ("celery", self.worker.pid())]
    }

    /// Waits until `events` are stored.
    pub(crate) async fn reach(&self, events: u64) -> anyhow::Result<()> {
        let mut last = (0, Instant::now());
        loop {
            let rows = self.ground.rows().await?;
            if rows == events {
                return Ok(());
            }
            if rows > last.0 {
                last = (rows, Instant::now());
            }
            let over = rows > events || last.1.elapsed() > PATIENCE;
            if over || self.worker.has_exited() {
                let said = self.said(&self.worker);
                bail!("the peer has stored {rows} events of {events}: {said}");
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Stops it, and fails unless it has stored exactly `events`.
    pub(crate) async fn stop(self, events: u64) -> anyhow::Result<()> {
        self.web.stop(PATIENCE).await;
        self.worker.stop(PATIENCE).await;
        self.ground.has_rows(events).await?;
        self.ground.clear().await
    }

    async fn listens(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(self.address).await.is_err() {
            if self.web.has_exited() || Instant::now() > deadline {
                bail!("gunicorn does not listen: {}", self.said(&self.web));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    fn said(&self, process: &ManagedProcess) -> String {
        let log = log(self.ground.lab, process.name());
        std::fs::read_to_string(log).unwrap_or_default()
    }
}

fn spawn(
    lab: &Lab,
    programs: &Path,
    name: &str,
    args: &[&str],
    variables: &[(&str, String)],
) -> anyhow::Result<ManagedProcess> {
    let options = ProcessOptions::new(name, programs.join(name))
        .args(args)
        .dir(SOURCES)
        .env_remove("PEER_DB_REUSE")
        .log(LogTarget::File(log(lab, name)));
    let options = variables
        .iter()
        .fold(options, |options, (name, value)| options.env(name, value));
    Ok(ManagedProcess::spawn(options)?)
}

fn log(lab: &Lab, name: &str) -> PathBuf {
    lab.dir().join(format!("{name}.log"))
}

fn variables(
    ground: &Ground<'_>,
    variant: Variant,
    address: SocketAddr,
) -> Vec<(&'static str, String)> {
    let mut variables = vec![
        ("PEER_VARIANT", variant.name().to_owned()),
        ("DATABASE_URL", ground.database_url()),
        ("AMQP_URL", ground.lab.rabbitmq.url()),
        ("PEER_QUEUE", format!("{}_peer", ground.prefix)),
        ("BIND", address.to_string()),
    ];
    if matches!(variant, Variant::Plain) {
        // Kinder to it than Celery's default, which connects to PostgreSQL for each task.
        variables.push(("PEER_DB_REUSE", "1000".to_owned()));
    }
    variables
}

/// The programs of the Python environment, which is made when it is not there or of other packages.
async fn environment() -> anyhow::Result<PathBuf> {
    let directory = std::path::absolute(ENVIRONMENT)?;
    let programs = directory.join("bin");
    let wanted = Path::new(SOURCES).join("requirements.txt");
    let packages = std::fs::read_to_string(&wanted)
        .with_context(|| format!("reading {}", wanted.display()))?;
    // Written last: where it is the same, the environment is whole.
    let installed = directory.join("requirements.txt");
    if std::fs::read_to_string(&installed).is_ok_and(|installed| installed == packages) {
        return Ok(programs);
    }
    log::info!("making {} for Django and Celery", directory.display());
    let venv: [&OsStr; 3] = ["-m".as_ref(), "venv".as_ref(), directory.as_ref()];
    run(Command::new("python3").args(venv))
        .await
        .context("the Django peer needs python3 with venv")?;
    let mut install = Command::new(programs.join("pip"));
    install.args(["install", "--quiet", "--disable-pip-version-check", "-r"]);
    run(install.arg(&wanted))
        .await
        .context("the Django peer's packages cannot be installed")?;
    std::fs::write(&installed, packages)?;
    Ok(programs)
}

async fn run(command: &mut Command) -> anyhow::Result<()> {
    let program = command.as_std().get_program().to_owned();
    let program = program.to_string_lossy();
    let output = command
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("running {program}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{program} ended with {}: {said}",
        output.status
    );
    Ok(())
}
