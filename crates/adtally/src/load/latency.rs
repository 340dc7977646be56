//! Percentiles of durations, in little and fixed memory.

use std::time::Duration;

/// Bits of a value that are kept: a bucket is at most 1/1024 of its value wide.
const PRECISION: u32 = 10;
/// Buckets of one power of two.
const STEPS: u64 = 1 << PRECISION;
/// Values up to 2^40 µs, which is 12 days, have their own bucket; longer ones share the last.
const MAX_BITS: u32 = 40;

/// How often each duration was seen, to within 0.1 % above a millisecond and to the microsecond
/// below it.
#[derive(Debug, Clone)]
pub(crate) struct Latencies {
    buckets: Vec<u64>,
    count: u64,
    max: Duration,
}

impl Default for Latencies {
    fn default() -> Self {
        let buckets = index_of((1 << MAX_BITS) - 1) + 1;
        Self {
            buckets: vec![0; buckets],
            count: 0,
            max: Duration::ZERO,
        }
    }
}

impl Latencies {
    /// Counts `duration` once.
    pub(crate) fn record(&mut self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let index = index_of(micros.min((1 << MAX_BITS) - 1));
        if let Some(bucket) = self.buckets.get_mut(index) {
            *bucket += 1;
        }
        self.count += 1;
        self.max = self.max.max(duration);
    }

    /// How many durations were recorded.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The longest one, exactly.
    pub(crate) fn max(&self) -> Duration {
        self.max
    }

    /// The duration that `per_mille` of 1000 do not exceed; zero when none was recorded.
    pub(crate) fn per_mille(&self, per_mille: u32) -> Duration {
        let wanted = (u128::from(self.count) * u128::from(per_mille.min(1_000))).div_ceil(1_000);
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += u128::from(*count);
            if seen >= wanted.max(1) {
                return Duration::from_micros(highest_of(index)).min(self.max);
            }
        }
        self.max
    }
}

/// The bucket of a value: the value itself below 2^11, then 1024 buckets for each power of two.
fn index_of(micros: u64) -> usize {
    let bits = u64::BITS - micros.leading_zeros();
    let shift = bits.saturating_sub(PRECISION + 1);
    let index = u64::from(shift) * STEPS + (micros >> shift);
    usize::try_from(index).unwrap_or(usize::MAX)
}

/// The largest value that falls into the bucket at `index`.
fn highest_of(index: usize) -> u64 {
    let index = index as u64;
    let shift = (index / STEPS).saturating_sub(1);
    let mantissa = index - shift * STEPS;
    ((mantissa + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_recorded_has_no_latency() {
        let latencies = Latencies::default();
        assert_eq!(latencies.per_mille(999), Duration::ZERO);
        assert_eq!(latencies.max(), Duration::ZERO);
    }

    #[test]
    fn percentiles_of_a_thousand_even_steps() {
        let mut latencies = Latencies::default();
        for millis in 1..=1_000 {
            latencies.record(Duration::from_micros(millis));
        }
        assert_eq!(latencies.per_mille(500), Duration::from_micros(500));
        assert_eq!(latencies.per_mille(990), Duration::from_micros(990));
        assert_eq!(latencies.per_mille(999), Duration::from_micros(999));
        assert_eq!(latencies.per_mille(1_000), Duration::from_micros(1_000));
        assert_eq!(latencies.count(), 1_000);
    }

    #[test]
    fn a_duration_beyond_all_buckets_is_still_counted() {
        let mut latencies = Latencies::default();
        latencies.record(Duration::MAX);
        assert_eq!(latencies.max(), Duration::MAX);
        assert!(latencies.per_mille(500) >= Duration::from_secs(1_000_000));
    }

    proptest! {
        #[test]
        fn each_value_lies_in_its_bucket(micros in 0_u64..1 << MAX_BITS) {
            let index = index_of(micros);
            prop_assert!(micros <= highest_of(index));
            prop_assert!(index == 0 || micros > highest_of(index - 1));
        }

        #[test]
        fn a_percentile_is_within_a_thousandth_of_the_exact_one(
            mut micros in prop::collection::vec(0_u64..100_000_000, 1..300),
            per_mille in 1_u32..=1_000,
        ) {
            let mut latencies = Latencies::default();
            micros.iter().for_each(|m| latencies.record(Duration::from_micros(*m)));
            micros.sort_unstable();
            let rank = (micros.len() * per_mille as usize).div_ceil(1_000).max(1);
            let exact = micros[rank - 1];
            let found = latencies.per_mille(per_mille).as_micros() as u64;
            prop_assert!(found >= exact && found <= exact + exact / 1_000 + 1, "{} for {}", found, exact);
        }
    }
}
