//! How long to wait before the broker is tried again.

use std::time::Duration;

use crate::random::Randomness;

const SHORTEST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(10);

/// Waits that grow from 0.2 s to at most 10 s, each drawn at random, so that many processes that
/// lost the same broker do not return to it in one wave.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
    random: Randomness,
}

impl Backoff {
    /// The wait after one more failure.
    pub fn next_delay(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let bound = SHORTEST
            .saturating_mul(2_u32.saturating_pow(self.failures))
            .min(LONGEST);
        SHORTEST
            + bound
                .saturating_sub(SHORTEST)
                .mul_f64(self.random.fraction())
    }

    /// Begins anew: the broker was of use.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_within_their_bounds_and_begin_anew_after_success() {
        let mut backoff = Backoff::default();
        assert!((SHORTEST..=SHORTEST * 2).contains(&backoff.next_delay()));
        let later: Vec<_> = (0..200).map(|_| backoff.next_delay()).collect();
        assert!(
            later
                .iter()
                .all(|delay| (SHORTEST..=LONGEST).contains(delay)),
            "{later:?}"
        );
        assert!(later.iter().any(|delay| *delay > LONGEST / 2), "{later:?}");
        backoff.reset();
        assert!((SHORTEST..=SHORTEST * 2).contains(&backoff.next_delay()));
    }
}
