//! The request to stop, from a signal or from the program itself.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// What shells report for a process that SIGINT has ended.
const INTERRUPTED: i32 = 130;

/// How long the last lines of the log may take when a process ends at once.
const AT_ONCE: std::time::Duration = std::time::Duration::from_millis(200);

/// A request to stop that every part of a process can wait for. It is made once and stays made.
#[derive(Debug, Clone)]
pub struct Shutdown {
    sender: watch::Sender<bool>,
}

impl Shutdown {
    /// A request that only [`Shutdown::trigger`] makes.
    #[must_use]
    pub fn manual() -> Self {
        Self {
            sender: watch::Sender::new(false),
        }
    }

    /// A request that SIGTERM or SIGINT makes. Needs a running tokio runtime.
    ///
    /// A SIGINT after the request is a person who presses Ctrl-C again: the process ends at once,
    /// with code 130.
    ///
    /// # Errors
    /// When the operating system refuses the signal handlers.
    pub fn on_signals() -> std::io::Result<Self> {
        let shutdown = Self::manual();
        for (kind, name) in [
            (SignalKind::terminate(), "SIGTERM"),
            (SignalKind::interrupt(), "SIGINT"),
        ] {
            let mut signals = signal(kind)?;
            let shutdown = shutdown.clone();
            tokio::spawn(async move {
                while signals.recv().await.is_some() {
                    if kind == SignalKind::interrupt() && shutdown.is_requested() {
                        log::warn!("{name} received again, stopping at once");
                        crate::logging::flush(AT_ONCE);
                        std::process::exit(INTERRUPTED);
                    }
                    log::info!("{name} received, stopping");
                    shutdown.trigger();
                }
            });
        }
        Ok(shutdown)
    }

    /// Makes the request.
    pub fn trigger(&self) {
        self.sender.send_replace(true);
    }

    /// Whether the request was made.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        *self.sender.borrow()
    }

    /// Waits until the request is made.
    pub async fn requested(&self) {
        let mut requests = self.sender.subscribe();
        // The sender is part of self, so the channel never closes while this waits.
        let _closed = requests.wait_for(|requested| *requested).await;
    }

    /// Waits for `duration`, or less when the request is made first; tells whether it was.
    pub async fn requested_within(&self, duration: std::time::Duration) -> bool {
        tokio::time::timeout(duration, self.requested())
            .await
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_request_reaches_who_waits_already_and_who_asks_later() {
        let shutdown = Shutdown::manual();
        let waiting = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { shutdown.requested().await }
        });
        assert!(!shutdown.requested_within(Duration::from_millis(10)).await);
        shutdown.trigger();
        waiting.await.unwrap();
        shutdown.requested().await;
        assert!(shutdown.is_requested() && shutdown.requested_within(Duration::ZERO).await);
    }
}
