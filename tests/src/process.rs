//! A running binary of a test.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitStatus;

use adtally_devstack::{LogTarget, ManagedProcess, ProcessOptions, Signal, free_port};

use crate::{http, programs, until};

/// A running binary with the address of its health checks.
pub struct Process {
    process: ManagedProcess,
    /// Where it answers HTTP.
    pub address: SocketAddr,
    log: PathBuf,
}

impl Process {
    /// Starts a binary, through `wrapper` unless that is empty, and does not wait for it. It finds its
    /// address in the variable `bind`, a free one unless given.
    pub(crate) fn start(
        program: &str,
        wrapper: &[String],
        bind: &str,
        address: Option<SocketAddr>,
        environment: impl Iterator<Item = (&'static str, String)>,
        log: PathBuf,
    ) -> Self {
        let address = address.unwrap_or_else(|| {
            let port = free_port().expect("a free port");
            SocketAddr::from(([127, 0, 0, 1], port))
        });
        let path = programs::path(program);
        let options = match wrapper {
            [] => ProcessOptions::new(program, path),
            [wrapper, args @ ..] => ProcessOptions::new(program, wrapper).args(args).arg(path),
        };
        let options = options
            .env(bind, address.to_string())
            .log(LogTarget::File(log.clone()));
        let options = environment.fold(options, |options, (name, value)| options.env(name, value));
        Self {
            process: ManagedProcess::spawn(options).expect("the binary starts"),
            address,
            log,
        }
    }

    /// The URL it answers HTTP at.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// How it ended; `None` while it runs.
    #[must_use]
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.process.exit_status()
    }

    /// What it logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The status of `/readyz`; `None` when nothing answers.
    #[must_use]
    pub fn readiness(&self) -> Option<http::Response> {
        http::request(self.address, "GET", "/readyz", &[], b"").ok()
    }

    /// Whether it can do its work now.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.readiness()
            .is_some_and(|response| response.status == 200)
    }

    /// Waits until it can do its work.
    ///
    /// # Panics
    /// With its log, when it cannot within a minute or ends.
    #[must_use]
    pub fn ready(self) -> Self {
        until("a process is ready", || {
            assert!(
                self.process.exit_status().is_none(),
                "ended: {}",
                self.log()
            );
            self.is_ready().then_some(())
        });
        self
    }

    /// The value of the metric whose line begins with `name`, 0 when there is none.
    ///
    /// # Panics
    /// When the process does not answer.
    #[must_use]
    pub fn metric(&self, name: &str) -> f64 {
        let response = http::request(self.address, "GET", "/metrics", &[], b"").expect("metrics");
        let text = String::from_utf8_lossy(&response.body).into_owned();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let values = lines.filter_map(|line| {
            line.strip_prefix(name)?
                .rsplit(' ')
                .next()?
                .parse::<f64>()
                .ok()
        });
        values.sum()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Ends it as a crash would, and waits for its end.
    pub fn kill(self) {
        self.process.kill();
        until("a killed process ends", || self.process.exit_status());
    }

    /// Asks it to stop, and waits for its end.
    ///
    /// # Panics
    /// When it does not stop within a minute.
    #[must_use]
    pub fn stop(self) -> ExitStatus {
        self.process.signal(Signal::TERM);
        until("a process stops", || self.process.exit_status())
    }
}
