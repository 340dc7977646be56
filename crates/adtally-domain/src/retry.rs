//! When a failed task runs again.

use std::time::Duration;

/// How often and when a failed task runs again: exponential backoff with full jitter, capped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Runs in all, the first included.
    pub max_attempts: u32,
    /// The longest wait before the second run.
    pub first_delay: Duration,
    /// The longest wait of all.
    pub max_delay: Duration,
}

impl RetryPolicy {
    /// The wait before the next run after `attempts` runs failed; `None` when that was the last.
    ///
    /// The wait doubles with each run up to [`Self::max_delay`]; `random` in `[0, 1]` picks a
    /// point in its upper half, so that tasks that failed together do not come back together.
    #[must_use]
    pub fn delay_after(&self, attempts: u32, random: f64) -> Option<Duration> {
        if attempts >= self.max_attempts {
            return None;
        }
        let doublings = attempts.saturating_sub(1).min(31);
        let longest = self
            .first_delay
            .saturating_mul(1 << doublings)
            .min(self.max_delay);
        Some(longest.mul_f64(0.5 + 0.5 * random.clamp(0.0, 1.0)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const POLICY: RetryPolicy = RetryPolicy {
        max_attempts: 5,
        first_delay: Duration::from_secs(2),
        max_delay: Duration::from_secs(10),
    };

    #[test]
    fn waits_double_up_to_the_cap_and_then_end() {
        let waits: Vec<_> = (1..=5)
            .map(|attempts| POLICY.delay_after(attempts, 1.0))
            .collect();
        let seconds = |s| Some(Duration::from_secs(s));
        assert_eq!(
            waits,
            [seconds(2), seconds(4), seconds(8), seconds(10), None]
        );
    }

    proptest! {
        #[test]
        fn a_wait_stays_within_the_upper_half_of_its_bound(attempts in 1..5_u32, random in 0.0..=1.0_f64) {
            let longest = POLICY.delay_after(attempts, 1.0).unwrap();
            let wait = POLICY.delay_after(attempts, random).unwrap();
            prop_assert!(wait <= longest && wait >= longest / 2);
        }
    }
}
