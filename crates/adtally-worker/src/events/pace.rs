//! How often small batches are stored.

use std::time::Duration;

use tokio::time::Instant;

/// From the start of a small batch to that of the next small one. A transaction costs about as much as
/// storing two hundred events, and nobody waits for a row as long as this.
const REST: Duration = Duration::from_millis(50);

/// When the next small batch may begin. What comes after a pause is never held up.
#[derive(Debug)]
pub(super) struct Pace {
    due: Instant,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self { due: now }
    }

    /// Takes note of a batch that begins.
    pub(super) fn began(&mut self, is_small: bool, now: Instant) {
        if is_small {
            self.due = now + REST;
        }
    }

    /// Whether a small batch may begin.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        now >= self.due
    }

    /// Returns when a small batch may begin.
    pub(super) async fn due(&self) {
        tokio::time::sleep_until(self.due).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_small_batch_is_followed_by_a_rest() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        assert!(pace.is_due(now));
        pace.began(false, now);
        assert!(pace.is_due(now));
        pace.began(true, now);
        assert!(!pace.is_due(now));
        assert!(pace.is_due(now + REST));
    }
}
