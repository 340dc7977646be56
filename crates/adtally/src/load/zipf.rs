//! Which ad an event is for: few ads get most of the traffic.

use rand::{Rng, RngExt};

/// A Zipf-Mandelbrot distribution over ranks 1 to n: rank r has the weight `1 / (r + q)^s`.
///
/// Clicks on the web follow it better than a pure power law: the offset `q` flattens the head.
#[derive(Debug, Clone)]
pub struct Zipf {
    /// The share of all ranks up to each one; the last is 1.
    cumulative: Vec<f64>,
}

impl Zipf {
    /// The distribution over `ranks` ranks, at least one, with the slope `s` and the offset `q`,
    /// neither negative.
    pub fn new(ranks: u32, s: f64, q: f64) -> Self {
        let mut total = 0.0;
        let mut cumulative: Vec<f64> = (1..=ranks.max(1))
            .map(|rank| {
                total += (f64::from(rank) + q).powf(-s);
                total
            })
            .collect();
        for share in &mut cumulative {
            *share /= total;
        }
        Self { cumulative }
    }

    /// A rank, from 1.
    pub fn sample(&self, random: &mut impl Rng) -> u32 {
        self.rank_at(random.random())
    }

    /// The rank at the `quantile` from 0 up to, not including, 1.
    fn rank_at(&self, quantile: f64) -> u32 {
        let below = self.cumulative.partition_point(|share| *share <= quantile);
        // Rounding may leave the last share a hair below 1.
        let index = below.min(self.cumulative.len() - 1);
        u32::try_from(index + 1).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn share(zipf: &Zipf, rank: usize) -> f64 {
        let below = if rank > 1 {
            zipf.cumulative[rank - 2]
        } else {
            0.0
        };
        zipf.cumulative[rank - 1] - below
    }

    #[test]
    fn a_thousand_ads_with_slope_one_give_the_top_ad_an_eighth() {
        let zipf = Zipf::new(1_000, 1.0, 0.0);
        assert!((share(&zipf, 1) - 0.1336).abs() < 0.0001);
        assert!((zipf.cumulative[9] - 0.3913).abs() < 0.0001);
    }

    #[test]
    fn samples_follow_the_weights() {
        let zipf = Zipf::new(50, 1.1, 2.0);
        let mut random = StdRng::seed_from_u64(7);
        let mut counts = [0_u32; 51];
        let samples = 200_000;
        for _ in 0..samples {
            counts[zipf.sample(&mut random) as usize] += 1;
        }
        for (rank, count) in counts.iter().enumerate().skip(1) {
            let expected = share(&zipf, rank) * f64::from(samples);
            let difference = (f64::from(*count) - expected).abs();
            // Five standard deviations of a binomial count, near enough.
            assert!(
                difference < 5.0 * expected.sqrt(),
                "rank {rank}: {count} of {expected}"
            );
        }
    }

    proptest! {
        #[test]
        fn weights_have_the_ratio_of_the_formula(ranks in 2_u32..2_000, s in 0.0..2.0, q in 0.0..10.0, pick in 0.0..1.0) {
            let zipf = Zipf::new(ranks, s, q);
            let rank = 2 + (pick * f64::from(ranks - 2)) as usize;
            let ratio = share(&zipf, rank) / share(&zipf, 1);
            let expected = ((1.0 + q) / (rank as f64 + q)).powf(s);
            prop_assert!((ratio / expected - 1.0).abs() < 1e-6, "{} of {}", ratio, expected);
        }

        #[test]
        fn every_quantile_has_a_rank(ranks in 1_u32..500, s in 0.0..3.0, quantile in 0.0..1.0_f64) {
            let rank = Zipf::new(ranks, s, 2.0).rank_at(quantile);
            prop_assert!((1..=ranks).contains(&rank));
            prop_assert_eq!(Zipf::new(ranks, s, 2.0).rank_at(0.0), 1);
        }
    }
}
