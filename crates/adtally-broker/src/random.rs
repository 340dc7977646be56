//! Numbers that differ between processes and calls. Not for secrets.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// A counter hashed under keys that the standard library draws from the operating system.
#[derive(Debug, Default)]
pub(crate) struct Randomness {
    keys: RandomState,
    drawn: AtomicU64,
}

impl Randomness {
    pub(crate) fn next_u64(&self) -> u64 {
        self.keys
            .hash_one(self.drawn.fetch_add(1, Ordering::Relaxed))
    }

    /// A number in `[0, 1)`.
    pub(crate) fn fraction(&self) -> f64 {
        let half = u32::try_from(self.next_u64() >> 32).unwrap_or(u32::MAX);
        f64::from(half) / (f64::from(u32::MAX) + 1.0)
    }

    pub(crate) fn ten_bytes(&self) -> [u8; 10] {
        let draws = (u128::from(self.next_u64()) << 64 | u128::from(self.next_u64())).to_be_bytes();
        let mut bytes = [0; 10];
        for (to, from) in bytes.iter_mut().zip(draws) {
            *to = from;
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn draws_do_not_repeat_and_fill_their_range() {
        let random = Randomness::default();
        let draws: HashSet<_> = (0..10_000).map(|_| random.ten_bytes()).collect();
        assert_eq!(draws.len(), 10_000);
        let mean = (0..10_000).map(|_| random.fraction()).sum::<f64>() / 10_000.0;
        assert!((0.45..0.55).contains(&mean), "{mean}");
    }
}
