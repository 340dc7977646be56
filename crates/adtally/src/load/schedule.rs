//! When each request is due.

use std::time::Duration;

/// An open-loop schedule: requests are due at even intervals from the start, whatever becomes of
/// those before them.
///
/// Each due time is computed from the request's number alone, so no rounding adds up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Schedule {
    /// Events per second.
    rate: u64,
    /// Events per request.
    batch: u64,
    /// Requests in all.
    requests: u64,
}

impl Schedule {
    /// `rate` events per second, `batch` in each request, both at least 1, for `duration`.
    pub(crate) fn new(rate: u32, batch: u32, duration: Duration) -> Self {
        let (rate, batch) = (u64::from(rate.max(1)), u64::from(batch.max(1)));
        let requests =
            (duration.as_nanos() * u128::from(rate)).div_ceil(1_000_000_000 * u128::from(batch));
        Self {
            rate,
            batch,
            requests: u64::try_from(requests).unwrap_or(u64::MAX),
        }
    }

    /// How many requests there are.
    pub(crate) fn requests(&self) -> u64 {
        self.requests
    }

    /// When the request `number`, counted from 0, is due after the start.
    pub(crate) fn due(&self, number: u64) -> Duration {
        let nanos = u128::from(number) * u128::from(self.batch) * 1_000_000_000;
        let nanos = nanos / u128::from(self.rate);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// How many requests are due at `elapsed` after the start: all whose due time is not later.
    pub(crate) fn due_by(&self, elapsed: Duration) -> u64 {
        let per_request = 1_000_000_000 * u128::from(self.batch);
        // The first number whose exact due time is after `elapsed`; due() rounds down to a
        // nanosecond, hence the one added.
        let due = ((elapsed.as_nanos() + 1) * u128::from(self.rate)).div_ceil(per_request);
        u64::try_from(due).unwrap_or(u64::MAX).min(self.requests)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn five_thousand_a_second_for_a_minute_are_three_hundred_thousand() {
        let schedule = Schedule::new(5_000, 1, Duration::from_secs(60));
        assert_eq!(schedule.requests(), 300_000);
        assert_eq!(schedule.due(0), Duration::ZERO);
        assert_eq!(schedule.due(5_000), Duration::from_secs(1));
        assert_eq!(schedule.due(299_999), Duration::from_micros(59_999_800));
    }

    #[test]
    fn a_batch_stretches_the_interval() {
        let schedule = Schedule::new(1_000, 100, Duration::from_secs(1));
        assert_eq!(schedule.requests(), 10);
        assert_eq!(schedule.due(1), Duration::from_millis(100));
    }

    proptest! {
        #[test]
        fn due_times_never_drift(rate in 1_u32..1_000_000, batch in 1_u32..10_000, second in 0_u64..1_000_000) {
            let schedule = Schedule::new(rate, batch, Duration::MAX);
            // After `batch` seconds exactly `rate` requests were due, however long the run.
            let number = second * u64::from(rate);
            prop_assert_eq!(schedule.due(number), Duration::from_secs(second * u64::from(batch)));
        }

        #[test]
        fn exactly_the_due_requests_are_due(rate in 1_u32..1_000_000, batch in 1_u32..10_000, nanos in 0_u64..1_000_000_000_000) {
            let schedule = Schedule::new(rate, batch, Duration::MAX);
            let elapsed = Duration::from_nanos(nanos);
            let due = schedule.due_by(elapsed);
            prop_assert!(due > 0 && schedule.due(due - 1) <= elapsed);
            prop_assert!(schedule.due(due) > elapsed);
        }

        #[test]
        fn the_last_request_is_due_within_the_duration(rate in 1_u32..1_000_000, batch in 1_u32..10_000, millis in 1_u64..100_000) {
            let duration = Duration::from_millis(millis);
            let schedule = Schedule::new(rate, batch, duration);
            prop_assert!(schedule.due(schedule.requests() - 1) < duration);
            prop_assert!(schedule.due(schedule.requests()) >= duration - Duration::from_nanos(1));
        }
    }
}
