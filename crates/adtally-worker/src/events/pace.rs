//! How often small batches are stored, and how often what arrives for them is looked at.

use std::time::Duration;

use tokio::time::Instant;

/// From the start of a batch to that of a small one after it. A transaction costs about as much as
/// storing two hundred events, and nobody waits for a row as long as this.
const REST: Duration = Duration::from_millis(100);

/// Looks at what has arrived while a small batch waits, in the time that lay between the last two
/// batches. To be woken for every message costs more than to read it; but so many may have come that
/// they need not wait.
const LOOKS: u32 = 5;

/// The least time from one look to the next: timers are no finer.
const LEAST: Duration = Duration::from_millis(1);

/// When the next small batch may begin. What comes after a pause is never held up.
#[derive(Debug)]
pub(super) struct Pace {
    /// A rest after the last batch began.
    due: Instant,
    look: Instant,
    /// From one look to the next: the sooner the last batch came after the one before, the less.
    between_looks: Duration,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            due: now,
            look: now,
            between_looks: LEAST,
        }
    }

    /// Takes note of a batch that begins.
    pub(super) fn began(&mut self, now: Instant) {
        let due = now + REST;
        self.between_looks = ((due - self.due) / LOOKS).clamp(LEAST, REST / LOOKS);
        self.due = due;
    }

    /// Whether a small batch may begin.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        now >= self.due
    }

    /// Takes note that a small batch waits and that nothing more is there for it.
    pub(super) fn looked(&mut self, now: Instant) {
        self.look = self.due.min(now + self.between_looks);
    }

    /// Whether it is time to look again.
    pub(super) fn is_look_due(&self, now: Instant) -> bool {
        now >= self.look
    }

    /// Returns when it is.
    pub(super) async fn look_due(&self) {
        tokio::time::sleep_until(self.look).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_pause_nothing_waits() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        assert!(pace.is_due(now));
        pace.began(now);
        assert!(!pace.is_due(now));
        assert!(pace.is_due(now + REST));
    }

    #[test]
    fn looks_are_as_near_as_batches() {
        let mut began = Instant::now();
        let mut pace = Pace::new(began);
        for (millis, between_looks) in [(1_000, 20), (50, 10), (10, 2), (0, 1)] {
            began += Duration::from_millis(millis);
            pace.began(began);
            pace.looked(began);
            assert!(!pace.is_look_due(began));
            assert_eq!(pace.look, began + Duration::from_millis(between_looks));
        }
    }

    #[test]
    fn the_last_look_is_when_the_batch_is_due() {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        pace.began(now);
        now += Duration::from_millis(70);
        pace.began(now);
        let mut looks = 0;
        while !pace.is_due(now) {
            pace.looked(now);
            now = pace.look;
            looks += 1;
        }
        assert_eq!(now, pace.due);
        assert_eq!(looks, 8);
    }
}
