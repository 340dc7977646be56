//! Prometheus metrics: base units, `adtally_` names, one registry per process.

use crate::logging::counts;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{
    Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    IntGauge, IntGaugeVec, Opts, TextEncoder,
};

/// The metrics of one process.
#[derive(Debug, Clone)]
pub struct Registry(prometheus::Registry);

impl Registry {
    /// A registry with the process's own figures, those of its log and `adtally_build_info`.
    #[must_use]
    pub fn new() -> Self {
        let registry = Self(prometheus::Registry::new());
        registry.register(prometheus::process_collector::ProcessCollector::for_self());
        let info = registry.gauge_vec("adtally_build_info", "The running version.", &["version"]);
        info.with_label_values(&[env!("CARGO_PKG_VERSION")])
            .set(1.0);
        let log = counts();
        registry.register(log.lines.clone());
        registry.register(log.dropped.clone());
        registry.register(log.panics.clone());
        registry
    }

    /// A counter named `name`, which must end in `_total`.
    #[must_use]
    pub fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.registered(IntCounter::new(name, help))
    }

    /// A counter for each combination of `labels`.
    #[must_use]
    pub fn counter_vec(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.registered(IntCounterVec::new(Opts::new(name, help), labels))
    }

    /// A gauge of whole numbers.
    #[must_use]
    pub fn int_gauge(&self, name: &str, help: &str) -> IntGauge {
        self.registered(IntGauge::new(name, help))
    }

    /// A gauge.
    #[must_use]
    pub fn gauge(&self, name: &str, help: &str) -> Gauge {
        self.registered(Gauge::new(name, help))
    }

    /// A gauge for each combination of `labels`.
    #[must_use]
    pub fn gauge_vec(&self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        self.registered(GaugeVec::new(Opts::new(name, help), labels))
    }

    /// A gauge of whole numbers for each combination of `labels`.
    #[must_use]
    pub fn int_gauge_vec(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.registered(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    /// A gauge for each combination of `labels` that `read` sets whenever somebody asks, from what is
    /// known in memory.
    pub fn computed(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        read: impl Fn(&GaugeVec) + Send + Sync + 'static,
    ) {
        #[expect(
            clippy::expect_used,
            reason = "names and labels are literals, checked by any run"
        )]
        let gauges = GaugeVec::new(Opts::new(name, help), labels).expect("a valid name");
        self.register(Computed { gauges, read });
    }

    /// Shows a metric that another crate made.
    pub fn show(&self, metric: impl Collector + 'static) {
        self.register(metric);
    }

    /// A histogram in seconds or bytes, with the upper bounds `buckets`.
    #[must_use]
    pub fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.registered(Histogram::with_opts(options))
    }

    /// A histogram for each combination of `labels`.
    #[must_use]
    pub fn histogram_vec(
        &self,
        name: &str,
        help: &str,
        buckets: &[f64],
        labels: &[&str],
    ) -> HistogramVec {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.registered(HistogramVec::new(options, labels))
    }

    /// All metrics in Prometheus' text format 0.0.4.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.0.gather(), &mut text) {
            log::error!("metrics cannot be rendered: {error}");
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    fn registered<M: Collector + Clone + 'static>(&self, metric: prometheus::Result<M>) -> M {
        #[expect(
            clippy::expect_used,
            reason = "names and labels are literals, checked by any run"
        )]
        let metric = metric.expect("a metric's name and labels must be valid");
        self.register(metric.clone());
        metric
    }

    fn register(&self, metric: impl Collector + 'static) {
        if let Err(error) = self.0.register(Box::new(metric)) {
            // Two parts of a process chose one name: the second is not shown.
            log::error!("a metric is not registered: {error}");
        }
    }
}

/// Gauges that are set when they are asked for.
struct Computed<Read> {
    gauges: GaugeVec,
    read: Read,
}

impl<Read: Fn(&GaugeVec) + Send + Sync> Collector for Computed<Read> {
    fn desc(&self) -> Vec<&Desc> {
        self.gauges.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        (self.read)(&self.gauges);
        self.gauges.collect()
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

/// Upper bounds from a millisecond to ten seconds, for anything a person waits for.
pub const SECONDS: [f64; 13] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_rendered_with_their_help_and_labels() {
        let registry = Registry::new();
        let stored = registry.counter_vec("adtally_t_total", "Stored.", &["kind"]);
        stored.with_label_values(&["click"]).inc_by(3);
        let waited = registry.histogram("adtally_t_seconds", "Waited.", &SECONDS);
        waited.observe(0.02);
        let text = registry.render();
        for line in [
            "# HELP adtally_t_total Stored.",
            "# TYPE adtally_t_total counter",
            "adtally_t_total{kind=\"click\"} 3",
            "adtally_t_seconds_bucket{le=\"0.01\"} 0",
            "adtally_t_seconds_bucket{le=\"0.025\"} 1",
            "# TYPE process_resident_memory_bytes gauge",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(text.contains("adtally_build_info{version=\""), "{text}");
    }

    #[test]
    fn a_computed_gauge_has_the_value_of_the_moment_it_is_asked_for() {
        let registry = Registry::new();
        let asked = std::sync::atomic::AtomicU32::new(0);
        registry.computed("adtally_asked", "Asked.", &["who"], move |gauges| {
            let before = asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            gauges.with_label_values(&["us"]).set(before.into());
        });
        for times in 0..2 {
            let line = format!("\nadtally_asked{{who=\"us\"}} {times}\n");
            assert!(registry.render().contains(&line));
        }
    }

    #[test]
    fn a_name_used_twice_is_no_panic_and_the_first_one_is_shown() {
        let registry = Registry::new();
        let first = registry.counter("adtally_twice_total", "First.");
        registry.counter("adtally_twice_total", "Second.").inc_by(7);
        first.inc();
        assert!(registry.render().contains("\nadtally_twice_total 1\n"));
    }
}
