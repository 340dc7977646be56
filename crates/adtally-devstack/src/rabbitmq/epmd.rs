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

use super::host::Host;
use super::node::address;
use crate::process::{LogTarget, ManagedProcess, ProcessOptions};
use crate::reaper::Stage;
use crate::startup::await_ready;
use crate::{DevstackError, log_excerpt, ports};

const START_LIMIT: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Epmd {
    program: PathBuf,
    dir: PathBuf,
    host: Option<Host>,
    port: u16,
    process: Mutex<ManagedProcess>,
}

impl Epmd {
    /// Starts one on a free port, working and logging in `dir`.
    pub(super) async fn start(
        program: &Path,
        dir: &Path,
        host: Option<Host>,
    ) -> Result<Self, DevstackError> {
        let mut attempt = 1;
        loop {
            let port = ports::free_port()?;
            match Self::start_at(program, dir, host.clone(), port).await {
                Err(error) if attempt < super::PORT_ATTEMPTS && error.is_port_taken() => {
                    attempt += 1;
                }
                started => return started,
            }
        }
    }

    /// Starts one on this port.
    pub(super) async fn start_at(
        program: &Path,
        dir: &Path,
        host: Option<Host>,
        port: u16,
    ) -> Result<Self, DevstackError> {
        let process = launch(program, dir, host.as_ref(), port).await?;
        Ok(Self {
            program: program.to_owned(),
            dir: dir.to_owned(),
            host,
            port,
            process: Mutex::new(process),
        })
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
        let process = launch(&self.program, &self.dir, self.host.as_ref(), self.port).await?;
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = process;
        Ok(())
    }
}

/// Where a port mapper listens: nodes of its own host ask at the loopback address.
pub(super) fn addresses(host: Option<&Host>) -> String {
    match host {
        None => Ipv4Addr::LOCALHOST.to_string(),
        Some(host) => format!("{},{}", Ipv4Addr::LOCALHOST, host.address),
    }
}

async fn launch(
    program: &Path,
    dir: &Path,
    host: Option<&Host>,
    port: u16,
) -> Result<ManagedProcess, DevstackError> {
    let log = dir.join("epmd.log");
    let seen = log_excerpt::begin(&log);
    let (program, args) = Host::command(host, program);
    let process = ManagedProcess::spawn(
        ProcessOptions::new("Erlang's port mapper", program)
            .args(args)
            .args(["-address", &addresses(host), "-port"])
            .arg(port.to_string())
            .dir(dir)
            .log(LogTarget::File(log.clone()))
            .stage(Stage::Support)
            .stop_signal(Signal::KILL),
    )?;
    let is_ready = || TcpStream::connect((address(host), port)).is_ok();
    await_ready(&process, (&log, seen), START_LIMIT, is_ready).await?;
    Ok(process)
}
