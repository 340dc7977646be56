//! How fast a body must arrive.

use std::time::Duration;

use tokio::time::Instant;

/// How long a body may take its time, and the period that its rate is measured over after that.
const WINDOW: Duration = Duration::from_secs(3);

/// What must arrive in each window after the first, unless the body ends: 4 KiB a second.
const WINDOW_BYTES: usize = 12 * 1_024;

/// Checks the rate of one body.
#[derive(Debug)]
pub(super) struct MinRate {
    /// When the whole body must have arrived.
    deadline: Instant,
    window_ends: Instant,
    is_first: bool,
    /// Bytes that had arrived when the window began.
    before: usize,
}

impl MinRate {
    /// A check of a body that begins `now` and has `limit` to arrive.
    pub(super) fn new(now: Instant, limit: Duration) -> Self {
        Self {
            deadline: now + limit,
            window_ends: now + WINDOW,
            is_first: true,
            before: 0,
        }
    }

    /// When to check again, whether anything arrives or not.
    pub(super) fn next_check(&self) -> Instant {
        self.window_ends.min(self.deadline)
    }

    /// Whether a body may go on that has `arrived` bytes `now`.
    pub(super) fn is_met(&mut self, now: Instant, arrived: usize) -> bool {
        if now >= self.deadline {
            return false;
        }
        if now < self.window_ends {
            return true;
        }
        let is_fast = self.is_first || arrived - self.before >= WINDOW_BYTES;
        self.is_first = false;
        self.before = arrived;
        self.window_ends = now + WINDOW;
        is_fast
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(15);

    /// After how many seconds a body is given up that has `arrived(second)` bytes.
    fn given_up_after(arrived: impl Fn(u64) -> usize) -> u64 {
        let start = Instant::now();
        let mut rate = MinRate::new(start, LIMIT);
        let seconds = (1..).find(|&second| {
            let now = start + Duration::from_secs(second);
            !rate.is_met(now, arrived(second))
        });
        seconds.unwrap()
    }

    #[test]
    fn a_body_that_stops_is_given_up_soon_however_much_had_come() {
        assert_eq!(given_up_after(|_| 0), 6);
        assert_eq!(given_up_after(|_| 4 * 1_024 * 1_024 - 10), 6);
        assert_eq!(given_up_after(|second| second as usize * 1_000), 6);
    }

    #[test]
    fn a_steady_body_has_all_its_time() {
        assert_eq!(given_up_after(|second| second as usize * 4_096), 15);
    }
}
