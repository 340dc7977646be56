//! A private Erlang port mapper.
//!
//! Erlang nodes start one that outlives them and is shared by the whole machine. Ours runs in the
//! foreground, on a port of its own, and ends with us; it also keeps node names of different
//! stacks apart.

use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::process::Signal;

use crate::process::{LogTarget, ManagedProcess, ProcessOptions};
use crate::reaper::Stage;
use crate::startup::await_ready;
use crate::{DevstackError, log_excerpt, ports};

const START_LIMIT: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Epmd {
    program: PathBuf,
    dir: PathBuf,
    port: u16,
    process: Mutex<ManagedProcess>,
}

impl Epmd {
    /// Starts one on a free port, working and logging in `dir`.
    pub(super) async fn start(program: &Path, dir: &Path) -> Result<Self, DevstackError> {
        let mut attempt = 1;
        loop {
            let port = ports::free_port()?;
            match launch(program, dir, port).await {
                Ok(process) => {
                    let (program, dir) = (program.to_owned(), dir.to_owned());
                    return Ok(Self {
                        program,
                        dir,
                        port,
                        process: Mutex::new(process),
                    });
                }
                Err(error) if attempt < super::PORT_ATTEMPTS && error.is_port_taken() => {
                    attempt += 1
                }
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Starts it again, on the same port, when it has ended.
    pub(super) async fn ensure_running(&self) -> Result<(), DevstackError> {
        if !self
            .process
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .has_exited()
        {
            return Ok(());
        }
        let process = launch(&self.program, &self.dir, self.port).await?;
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = process;
        Ok(())
    }
}

async fn launch(program: &Path, dir: &Path, port: u16) -> Result<ManagedProcess, DevstackError> {
    let log = dir.join("epmd.log");
    let seen = log_excerpt::begin(&log);
    let process = ManagedProcess::spawn(
        ProcessOptions::new("Erlang's port mapper", program)
            .args(["-address", "127.0.0.1", "-port"])
            .arg(port.to_string())
            .dir(dir)
            .log(LogTarget::File(log.clone()))
            .stage(Stage::Support)
            .stop_signal(Signal::KILL),
    )?;
    let is_ready = || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
    await_ready(&process, (&log, seen), START_LIMIT, is_ready).await?;
    Ok(process)
}
