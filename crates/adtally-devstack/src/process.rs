//! Child processes that are watched, stopped in order, and never left behind.

mod log_target;
mod options;

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use tokio::sync::watch;

pub use self::log_target::LogTarget;
pub use self::options::ProcessOptions;
pub use crate::reaper::Stage;
use crate::{DevstackError, reaper};

/// A running child process, in its own process group, so that a Ctrl-C in the terminal reaches
/// only this process.
///
/// Clones are handles of the same process. When the last one is dropped the process is killed;
/// when this process ends, in whatever way, the reaper ends it with its stop signal. Works in any
/// tokio runtime and, but for the waiting methods, without one.
#[derive(Debug, Clone)]
pub struct ManagedProcess {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    name: String,
    pid: Pid,
    stop_signal: Signal,
    /// True until the process has been reaped; held while signalling, so that a signal never
    /// goes to a later process with the same id.
    running: Arc<Mutex<bool>>,
    exit: watch::Receiver<Option<ExitStatus>>,
}

impl ManagedProcess {
    /// Starts a process.
    ///
    /// # Errors
    /// The program is missing or may not be run, or its log file can't be opened.
    pub fn spawn(options: ProcessOptions) -> Result<Self, DevstackError> {
        options.spawn()
    }

    /// Takes over a child that has just been started: a thread waits for its end.
    fn watch_child(
        name: String,
        stop_signal: Signal,
        mut child: Child,
        pid: Pid,
    ) -> io::Result<Self> {
        let (sender, exit) = watch::channel(None);
        let running = Arc::new(Mutex::new(true));
        let process = Self {
            inner: Arc::new(Inner {
                name,
                pid,
                stop_signal,
                running: Arc::clone(&running),
                exit,
            }),
        };
        let wait = move || {
            wait_until_ended(pid);
            let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
            // The child has ended: this reaps it without waiting. A failure means that it was
            // reaped by somebody else, and its status is lost.
            let status = child.wait().unwrap_or_else(|_| lost_status());
            *running = false;
            reaper::forget(child.id());
            sender.send_replace(Some(status));
        };
        thread::Builder::new()
            .name(format!("child {pid}"))
            .spawn(wait)?;
        Ok(process)
    }

    /// The name given at the start.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// The process id; it stays the same after the process has ended.
    pub fn pid(&self) -> u32 {
        self.inner.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// How the process ended, or `None` while it runs.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        *self.inner.exit.borrow()
    }

    /// True once the process has ended.
    pub fn has_exited(&self) -> bool {
        self.exit_status().is_some()
    }

    /// Waits until the process has ended; immediate when it has already.
    pub async fn exited(&self) -> ExitStatus {
        let mut exit = self.inner.exit.clone();
        // The sender sends before it is dropped, so a closed channel holds the status too.
        let _ = exit.wait_for(Option::is_some).await;
        let status = *exit.borrow();
        status.unwrap_or_else(lost_status)
    }

    /// Waits at most `limit`; `None` when the process still runs then.
    pub async fn exited_within(&self, limit: Duration) -> Option<ExitStatus> {
        tokio::time::timeout(limit, self.exited()).await.ok()
    }

    /// Sends a signal to the process; a process that has ended gets none.
    pub fn signal(&self, signal: Signal) {
        self.inner.signal(signal);
    }

    /// Asks the process to stop, waits up to `grace`, then kills its process group.
    pub async fn stop(&self, grace: Duration) -> ExitStatus {
        self.inner.signal(self.inner.stop_signal);
        if let Some(status) = self.exited_within(grace).await {
            return status;
        }
        log::warn!(
            "{} (process {}) did not stop within {grace:?}: killed",
            self.name(),
            self.pid()
        );
        self.kill();
        self.exited().await
    }

    /// Kills the process and its process group, as `kill -9` does. Does not wait.
    pub fn kill(&self) {
        self.inner.kill();
    }

    /// Waits on this thread, up to `limit`: for destructors.
    pub(crate) fn wait_blocking(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        while !self.has_exited() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Inner {
    fn signal(&self, signal: Signal) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if *running {
            // The process is ours and not reaped: the call can't miss.
            let _ = rustix::process::kill_process(self.pid, signal);
        }
    }

    fn kill(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if *running {
            let _ = rustix::process::kill_process_group(self.pid, Signal::KILL);
            let _ = rustix::process::kill_process(self.pid, Signal::KILL);
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Exit code 255, for want of the real one.
fn lost_status() -> ExitStatus {
    ExitStatus::from_raw(0xff00)
}

/// Blocks until the process is over, without reaping it.
fn wait_until_ended(pid: Pid) {
    let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    while rustix::process::waitid(WaitId::Pid(pid), ended).is_err_and(|error| error == Errno::INTR)
    {
    }
}

#[cfg(test)]
mod tests;
