//! AdTally's own processes, as `adtally dev` starts them.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use adtally_devstack::{LogTarget, ProcessOptions, free_port};
use adtally_service::{ExitKind, Failure, LogFormat, ResultExt};
use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::DevArgs;
use super::board::Board;
use super::servers::Servers;
use super::watch::{Member, Service, Watch};

/// The processes, and where each answers health checks.
pub(super) struct Services {
    api: SocketAddr,
    health: Vec<(String, SocketAddr)>,
}

impl Services {
    /// Starts the API, the workers and the beats, and has them watched.
    ///
    /// # Errors
    /// An address that is taken (69), or a process that cannot be started.
    pub(super) fn start(
        args: &DevArgs,
        log_format: LogFormat,
        servers: &Servers,
        data_dir: &Path,
        board: &Board,
        watch: &Watch,
    ) -> anyhow::Result<Self> {
        let starter = Starter {
            args,
            log_format,
            servers,
            data_dir,
            board,
        };
        let api = api_address(args.api_bind)?;
        let mut services = Self {
            api,
            health: Vec::new(),
        };
        let service = starter.service("api", "ADTALLY_API", "ADTALLY_BIND", api)?;
        services.add(watch, service, api);
        for (program, count) in [("worker", args.workers), ("beat", args.beats)] {
            for number in 1..=count {
                let name = format!("{program}-{number}");
                let key = format!("ADTALLY_{}_{number}", program.to_uppercase());
                let health = SocketAddr::from(([127, 0, 0, 1], free_port()?));
                let service = starter.service(&name, &key, "ADTALLY_HEALTH_BIND", health)?;
                services.add(watch, service, health);
            }
        }
        Ok(services)
    }

    /// Where the API is.
    pub(super) fn api_url(&self) -> String {
        format!("http://{}", self.api)
    }

    fn add(&mut self, watch: &Watch, service: Service, health: SocketAddr) {
        self.health.push((service.name().to_owned(), health));
        watch.add(Some(Member::Service(Arc::new(service))));
    }

    /// Waits until every process says that it can do its work.
    ///
    /// # Errors
    /// The process that did not get there within `limit`, or the one that gave up.
    pub(super) async fn wait_until_ready(
        &self,
        limit: Duration,
        watch: &Watch,
    ) -> Result<(), Failure> {
        let deadline = Instant::now() + limit;
        for (name, address) in &self.health {
            while !is_ready(*address).await {
                if Instant::now() > deadline {
                    let seconds = limit.as_secs();
                    let message = format!("{name} is not ready after {seconds} s; see its log");
                    return Err(Failure::unavailable(message));
                }
                tokio::select! {
                    failure = watch.failure() => return Err(failure),
                    () = tokio::time::sleep(Duration::from_millis(50)) => {}
                }
            }
        }
        Ok(())
    }
}

/// What all processes are started with.
struct Starter<'a> {
    args: &'a DevArgs,
    log_format: LogFormat,
    servers: &'a Servers,
    data_dir: &'a Path,
    board: &'a Board,
}

impl Starter<'_> {
    /// A process that runs this program under the name of its own binary, with its configuration
    /// in the environment: command lines are for all to see, and the URLs hold passwords.
    fn service(
        &self,
        name: &str,
        key: &str,
        bind: &str,
        address: SocketAddr,
    ) -> anyhow::Result<Service> {
        let program = name.split('-').next().unwrap_or(name);
        let mut options = ProcessOptions::new(name, self.program(program)?)
            .env("ADTALLY_DATABASE_URL", &self.servers.database_url)
            .env("ADTALLY_AMQP_URL", &self.servers.amqp_url)
            .env("ADTALLY_PREFIX", &*self.args.broker.prefix)
            .env("ADTALLY_MAX_EVENT_AGE", &self.args.max_event_age)
            .env("ADTALLY_LOG_FORMAT", self.log_format.as_str())
            .env("ADTALLY_SPOOL_DIR", self.data_dir.join("spool"))
            // Nobody balances: who presses Ctrl-C is not kept waiting.
            .env("ADTALLY_DRAIN", "0")
            // All of it shares this machine with both servers and with a person.
            .env("ADTALLY_YIELD_CPU", "true")
            .env(bind, address.to_string())
            .env_remove("ADTALLY_DATABASE_URL_FILE")
            .env_remove("ADTALLY_AMQP_URL_FILE")
            .log(LogTarget::File(
                self.data_dir.join("log").join(format!("{name}.log")),
            ));
        options = match &self.args.zone.timezone {
            Some(zone) => options.env("ADTALLY_TIMEZONE", zone),
            None => options.env_remove("ADTALLY_TIMEZONE"),
        };
        self.board
            .set(&format!("{key}_URL"), format!("http://{address}"));
        Service::start(name, format!("{key}_PID"), options, self.board)
            .or_exit(ExitKind::Failure)
            .map_err(Into::into)
    }

    /// A link named like the binary to the program that runs now.
    fn program(&self, program: &str) -> anyhow::Result<PathBuf> {
        let dir = self.data_dir.join("bin");
        let link = dir.join(format!("adtally-{program}"));
        let made = || -> io::Result<()> {
            std::fs::create_dir_all(&dir)?;
            match std::fs::remove_file(&link) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            symlink(std::env::current_exe()?, &link)
        };
        made().with_context(|| format!("linking {}", link.display()))?;
        Ok(link)
    }
}

/// `wanted`, with a free port in place of 0: its process takes it, and takes it again after a
/// restart.
fn api_address(mut wanted: SocketAddr) -> Result<SocketAddr, Failure> {
    if wanted.port() == 0 {
        wanted.set_port(free_port().or_exit(ExitKind::Unavailable)?);
    }
    // Told here, where a person sees it, and not in the log of a process.
    match TcpListener::bind(wanted) {
        Ok(_listener) => Ok(wanted),
        Err(error) => Err(Failure::unavailable(format!(
            "the API cannot listen on {wanted}: {error}; choose another --api-bind"
        ))),
    }
}

async fn is_ready(address: SocketAddr) -> bool {
    let asked = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"GET /readyz HTTP/1.0\r\n\r\n").await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        io::Result::Ok(answer.starts_with(b"HTTP/1.0 200") || answer.starts_with(b"HTTP/1.1 200"))
    };
    let answer = tokio::time::timeout(Duration::from_secs(2), asked).await;
    matches!(answer, Ok(Ok(true)))
}
