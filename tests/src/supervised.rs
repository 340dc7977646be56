//! A process under a supervisor: whatever ends it, it is started again, as systemd would.

use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use adtally_devstack::Signal;

use crate::{Process, until};

/// How long the supervisor waits before it starts a process again.
const RESTART_AFTER: Duration = Duration::from_millis(200);

/// A process that is started again, at the same address, as often as it ends.
pub struct Supervised {
    shared: Arc<Shared>,
    keeper: Option<JoinHandle<()>>,
}

struct Shared {
    process: Mutex<Process>,
    start: Box<dyn Fn() -> Process + Send + Sync>,
    ended: AtomicBool,
    restarts: AtomicU32,
}

impl Supervised {
    /// Starts the process and keeps it running.
    pub(crate) fn new(start: impl Fn() -> Process + Send + Sync + 'static) -> Self {
        let shared = Arc::new(Shared {
            process: Mutex::new(start()),
            start: Box::new(start),
            ended: AtomicBool::new(false),
            restarts: AtomicU32::new(0),
        });
        let kept = Arc::clone(&shared);
        let keeper = thread::spawn(move || kept.keep());
        Self {
            shared,
            keeper: Some(keeper),
        }
    }

    /// The process as it runs now. The supervisor waits meanwhile.
    pub fn process(&self) -> MutexGuard<'_, Process> {
        self.shared.process()
    }

    /// How often it was started again.
    #[must_use]
    pub fn restarts(&self) -> u32 {
        self.shared.restarts.load(Ordering::Relaxed)
    }

    /// Kills it as `kill -9` does, and returns once it has ended. It is started again.
    pub fn kill(&self) {
        self.kill_then(|| ());
    }

    /// Kills it, and does something before it is started again.
    pub fn kill_then<T>(&self, meanwhile: impl FnOnce() -> T) -> T {
        let process = self.process();
        process.signal(Signal::KILL);
        until("a killed process ends", || process.exit_status());
        meanwhile()
    }

    /// Freezes it: its connections stay open, and nothing answers.
    pub fn freeze(&self) {
        self.process().signal(Signal::STOP);
    }

    /// Ends [`Supervised::freeze`].
    pub fn thaw(&self) {
        self.process().signal(Signal::CONT);
    }

    /// Waits until it can do its work.
    ///
    /// # Panics
    /// When it cannot within a minute.
    pub fn until_ready(&self) {
        until("a supervised process is ready", || {
            self.process().is_ready().then_some(())
        });
    }

    /// Asks it to stop, and does not start it again.
    ///
    /// # Panics
    /// When it does not stop within a minute.
    #[must_use]
    pub fn stop(mut self) -> ExitStatus {
        self.release();
        let process = self.process();
        process.signal(Signal::TERM);
        until("a process stops", || process.exit_status())
    }

    fn release(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
    }
}

impl Shared {
    fn process(&self) -> MutexGuard<'_, Process> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self) {
        while !self.ended.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(20));
            let mut process = self.process();
            if process.exit_status().is_some() {
                thread::sleep(RESTART_AFTER);
                *process = (self.start)();
                self.restarts.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        self.release();
        self.process().signal(Signal::KILL);
    }
}
