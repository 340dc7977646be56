//! What a bar found: pairs of arms, their ratios, and whether they reach the bar.

use std::fmt;

use serde::Serialize;

use crate::usage::Seconds;

/// One run of one side.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Arm {
    /// What is compared, in the figure's unit.
    pub(crate) value: f64,
    /// Events, rows or requests it is made of.
    pub(crate) events: u64,
    /// Wall time.
    pub(crate) seconds: f64,
    /// Processor seconds by process.
    pub(crate) cpu: Seconds,
}

impl Arm {
    /// An arm whose value is its events per second.
    pub(crate) fn rate(events: u64, seconds: f64, cpu: Seconds) -> Self {
        Self {
            value: per(events, seconds),
            events,
            seconds,
            cpu,
        }
    }

    /// An arm whose value is its wall time.
    pub(crate) fn time(events: u64, seconds: f64, cpu: Seconds) -> Self {
        Self {
            value: seconds,
            events,
            seconds,
            cpu,
        }
    }

    /// The same arm, compared by another value.
    pub(crate) fn by(mut self, value: f64) -> Self {
        self.value = value;
        self
    }

    /// The same arm, compared by processor microseconds per event.
    pub(crate) fn by_cpu(mut self) -> Self {
        self.value = self.cpu.total() * 1e6 / as_f64(self.events);
        self
    }
}

/// Events per second.
pub(crate) fn per(events: u64, seconds: f64) -> f64 {
    as_f64(events) / seconds
}

#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
pub(crate) fn as_f64(number: u64) -> f64 {
    number as f64
}

/// A bound of a ratio, or of a value where nothing is compared.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bound {
    /// At least this.
    AtLeast(f64),
    /// At most this.
    AtMost(f64),
}

impl Bound {
    pub(crate) fn holds(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(bound) => write!(f, "≥ {bound}"),
            Self::AtMost(bound) => write!(f, "≤ {bound}"),
        }
    }
}

/// One line of the report.
#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    /// The bar's number.
    pub(crate) bar: u32,
    /// What is compared.
    pub(crate) name: String,
    /// The unit of the arms' values.
    pub(crate) unit: &'static str,
    pub(crate) floor: Bound,
    pub(crate) goal: Bound,
    /// Each pair's ratio, ours over the reference; the values themselves without a reference.
    pub(crate) ratios: Vec<f64>,
    pub(crate) ours: Vec<Arm>,
    pub(crate) reference: Vec<Arm>,
}

impl Figure {
    /// A figure of pairs.
    pub(crate) fn of_pairs(
        bar: u32,
        name: impl Into<String>,
        unit: &'static str,
        bounds: (Bound, Bound),
        pairs: Vec<(Arm, Arm)>,
    ) -> Self {
        let ratios = pairs
            .iter()
            .map(|(ours, reference)| ours.value / reference.value)
            .collect();
        let (ours, reference) = pairs.into_iter().unzip();
        Self {
            ratios,
            reference,
            ..Self::of_values(bar, name, unit, bounds, ours)
        }
    }

    /// A figure of values that nothing is compared with.
    pub(crate) fn of_values(
        bar: u32,
        name: impl Into<String>,
        unit: &'static str,
        (floor, goal): (Bound, Bound),
        ours: Vec<Arm>,
    ) -> Self {
        Self {
            bar,
            name: name.into(),
            unit,
            floor,
            goal,
            ratios: ours.iter().map(|arm| arm.value).collect(),
            ours,
            reference: Vec::new(),
        }
    }

    /// The ratio that counts.
    pub(crate) fn median(&self) -> f64 {
        median(self.ratios.iter().copied())
    }

    /// The smallest and the largest ratio.
    pub(crate) fn range(&self) -> (f64, f64) {
        let least = self.ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self
            .ratios
            .iter()
            .copied()
            .fold(f64::NEG_INFINITY, f64::max);
        (least, most)
    }
}

/// The middle value; the mean of the two in the middle for an even number of them; NaN for none.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    if values.len().is_multiple_of(2) {
        (at(middle.wrapping_sub(1)) + at(middle)) / 2.0
    } else {
        at(middle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_value() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), 2.5);
        assert!(median(std::iter::empty()).is_nan());
    }
}
