//! How late answers came, in a whole run and second by second.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::figure::as_f64;

/// Digits of a latency that are kept.
const DIGITS: u8 = 3;

/// Latencies by the second in which what was answered was due.
///
/// Where the machine stands still for a second, that second decides the high percentiles of a whole
/// run. The median over the seconds is what the others came to.
#[derive(Debug, Default)]
pub(crate) struct Latencies(Vec<Histogram<u64>>);

impl Latencies {
    /// Notes what was due at `due`, counted from the start of the run, and answered `latency` later.
    pub(crate) fn record(&mut self, due: Duration, latency: Duration) -> anyhow::Result<()> {
        let second = usize::try_from(due.as_secs())?;
        while self.0.len() <= second {
            self.0.push(Histogram::new(DIGITS)?);
        }
        if let Some(histogram) = self.0.get_mut(second) {
            histogram.record(u64::try_from(latency.as_micros())?)?;
        }
        Ok(())
    }

    /// What the share `quantile` of the run was not later than, in milliseconds; 0 for none.
    pub(crate) fn of_run(&self, quantile: f64) -> anyhow::Result<f64> {
        let mut run = Histogram::new(DIGITS)?;
        for second in &self.0 {
            run.add(second)?;
        }
        Ok(millis(&run, quantile))
    }

    /// The same of each second, and of these the median; 0 for none.
    pub(crate) fn of_median_second(&self, quantile: f64) -> f64 {
        let mut seconds: Vec<f64> = self
            .0
            .iter()
            .map(|second| millis(second, quantile))
            .collect();
        seconds.sort_by(f64::total_cmp);
        seconds.get(seconds.len() / 2).copied().unwrap_or_default()
    }
}

fn millis(latencies: &Histogram<u64>, quantile: f64) -> f64 {
    as_f64(latencies.value_at_quantile(quantile)) / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bad_second_is_the_run_s_but_not_the_median() {
        let mut latencies = Latencies::default();
        for second in 0..5 {
            let latency = Duration::from_millis(if second == 3 { 500 } else { 2 });
            for request in 0..100 {
                let due = Duration::from_millis(second * 1_000 + request * 10);
                latencies.record(due, latency).unwrap();
            }
        }
        assert!((latencies.of_run(0.99).unwrap() - 500.0).abs() < 1.0);
        assert!((latencies.of_median_second(0.99) - 2.0).abs() < 0.01);
        assert!((latencies.of_run(0.5).unwrap() - 2.0).abs() < 0.01);
    }

    #[test]
    fn without_an_answer_there_is_nothing() {
        let none = Latencies::default();
        assert!(none.of_run(0.99).unwrap().abs() < f64::EPSILON);
        assert!(none.of_median_second(0.99).abs() < f64::EPSILON);
    }
}
