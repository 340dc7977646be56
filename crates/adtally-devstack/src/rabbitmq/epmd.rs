//! A private Erlang port mapper.
//!
//! Erlang nodes start one that outlives them and is shared by the whole machine. Ours runs in the
//! foreground, on a port of its own, and ends with us; it also keeps node names of different
//! stacks apart.

use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::process::{LogTarget, ManagedProcess, ProcessOptions};
use crate::reaper::Stage;
use crate::{DevstackError, ports, run};

const START_LIMIT: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Epmd {
    program: PathBuf,
    port: u16,
    log: PathBuf,
    process: Mutex<ManagedProcess>,
}

impl Epmd {
    /// Starts one on a free port, working and logging in `dir`.
    pub(super) async fn start(program: &Path, dir: &Path) -> Result<Self, DevstackError> {
        let log = dir.join("epmd.log");
        let mut attempt = 1;
        loop {
            let port = ports::free_port()?;
            match launch(program, dir, &log, port).await {
                Ok(process) => {
                    let (program, process) = (program.to_owned(), Mutex::new(process));
                    return Ok(Self {
                        program,
                        port,
                        log,
                        process,
                    });
                }
                Err(_) if attempt < super::PORT_ATTEMPTS => attempt += 1,
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Starts it again, on the same port, when it has ended.
    pub(super) async fn ensure_running(&self, dir: &Path) -> Result<(), DevstackError> {
        if !self
            .process
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .has_exited()
        {
            return Ok(());
        }
        let process = launch(&self.program, dir, &self.log, self.port).await?;
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = process;
        Ok(())
    }
}

async fn launch(
    program: &Path,
    dir: &Path,
    log: &Path,
    port: u16,
) -> Result<ManagedProcess, DevstackError> {
    let process = ManagedProcess::spawn(
        ProcessOptions::new("epmd", program)
            .args(["-address", "127.0.0.1", "-port"])
            .arg(port.to_string())
            .env_remove("ERL_EPMD_RELAXED_COMMAND_CHECK")
            .dir(dir)
            .log(LogTarget::File(log.to_owned()))
            .stage(Stage::Support)
            .stop_signal(Signal::KILL),
    )?;
    let started = Instant::now();
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() || process.has_exited() {
        let (server, tail) = ("epmd".to_owned(), run::tail(log, 3));
        if let Some(status) = process.exit_status() {
            return Err(DevstackError::StartFailed {
                server,
                status,
                log: log.to_owned(),
                tail,
            });
        }
        if started.elapsed() > START_LIMIT {
            let log = log.to_owned();
            return Err(DevstackError::StartTimedOut {
                server,
                waited: START_LIMIT,
                log,
                tail,
            });
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(process)
}
