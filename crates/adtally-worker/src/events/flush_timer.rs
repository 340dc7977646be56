//! When a small batch is stored, and how often the worker polls for more until then.

use std::time::Duration;

use tokio::time::Instant;

/// From the start of a batch to that of a small one after it. A transaction costs about as much as
/// storing two hundred events, and nobody waits for a row as long as this.
const MIN_INTERVAL: Duration = Duration::from_millis(100);

/// Polls while a small batch waits, in the time that lay between the last two batches. To be woken for every
/// message costs more than to read it; but so many may have come that they need not wait.
const POLLS: u32 = 5;

/// The least time from one poll to the next: timers are no finer.
const LEAST: Duration = Duration::from_millis(1);

/// When the next small batch may begin. After a pause none waits.
#[derive(Debug)]
pub(super) struct FlushTimer {
    /// The interval after the last batch began.
    due: Instant,
    poll: Instant,
    /// From one poll to the next: the sooner the last batch came after the one before, the less.
    between_polls: Duration,
}

impl FlushTimer {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            due: now,
            poll: now,
            between_polls: LEAST,
        }
    }

    /// Takes note of a batch that begins.
    pub(super) fn flushed(&mut self, now: Instant) {
        let due = now + MIN_INTERVAL;
        let between_batches = due - self.due;
        self.between_polls = (between_batches / POLLS).clamp(LEAST, MIN_INTERVAL / POLLS);
        self.due = due;
    }

    /// Whether a small batch may begin.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        now >= self.due
    }

    /// Takes note that a small batch waits and that nothing more is there for it.
    pub(super) fn polled(&mut self, now: Instant) {
        self.poll = self.due.min(now + self.between_polls);
    }

    /// Whether it is time to poll again.
    pub(super) fn is_poll_due(&self, now: Instant) -> bool {
        now >= self.poll
    }

    /// Returns when it is.
    pub(super) async fn until_poll(&self) {
        tokio::time::sleep_until(self.poll).await;
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

    #[test]
    fn polls_are_as_near_as_batches() {
        let mut began = Instant::now();
        let mut timer = FlushTimer::new(began);
        for (millis, between_polls) in [(1_000, 20), (50, 10), (10, 2), (0, 1)] {
            began += Duration::from_millis(millis);
            timer.flushed(began);
            timer.polled(began);
            assert!(!timer.is_poll_due(began));
            assert_eq!(timer.poll, began + Duration::from_millis(between_polls));
        }
    }

    #[test]
    fn the_last_poll_is_when_the_batch_is_due() {
        let mut now = Instant::now();
        let mut timer = FlushTimer::new(now);
        timer.flushed(now);
        now += Duration::from_millis(70);
        timer.flushed(now);
        let mut polls = 0;
        while !timer.is_due(now) {
            timer.polled(now);
            now = timer.poll;
            polls += 1;
        }
        assert_eq!(now, timer.due);
        assert_eq!(polls, 8);
    }
}
