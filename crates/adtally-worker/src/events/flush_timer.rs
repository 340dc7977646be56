//! When a small batch is stored.

use std::time::Duration;

use tokio::time::Instant;

/// From the start of a batch to that of a small one after it. A transaction costs about as much as
/// storing two hundred events, and nobody waits for a row as long as this.
const MIN_INTERVAL: Duration = Duration::from_millis(100);

/// The earliest start of the next small batch. After a pause none waits.
#[derive(Debug)]
pub(super) struct FlushTimer(Instant);

impl FlushTimer {
    pub(super) const fn new(now: Instant) -> Self {
        Self(now)
    }

    /// Takes note of a batch that starts.
    pub(super) fn flushed(&mut self, now: Instant) {
        self.0 = now + MIN_INTERVAL;
    }

    /// Whether a small batch may start.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        now >= self.0
    }

    /// Returns when it may.
    pub(super) async fn until_due(&self) {
        tokio::time::sleep_until(self.0).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_pause_nothing_waits() {
        let now = Instant::now();
        let mut timer = FlushTimer::new(now);
        assert!(timer.is_due(now));
        timer.flushed(now);
        assert!(!timer.is_due(now));
        assert!(timer.is_due(now + MIN_INTERVAL));
    }
}
