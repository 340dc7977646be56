//! What a publisher measures.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Histogram, HistogramOpts, IntGaugeVec, Opts};
use tokio::sync::watch;

use crate::BrokerState;

/// Upper bounds of the time to a confirm: half a millisecond is a broker with nothing to do.
const SECONDS: [f64; 13] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
];

/// Upper bounds of the events in a pack, which are at most 1,024.
const EVENTS: [f64; 11] = [
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1_024.0,
];

/// The metrics of a publisher, to be registered by its process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct PublisherMetrics {
    pub(super) publish_seconds: Histogram,
    pub(super) pack_events: Histogram,
    states: IntGaugeVec,
    state: watch::Receiver<BrokerState>,
}

impl PublisherMetrics {
    #[expect(
        clippy::expect_used,
        reason = "names and bounds are literals, checked by any run"
    )]
    pub(super) fn new(state: watch::Receiver<BrokerState>) -> Self {
        let histogram = |name, help, bounds: &[f64]| {
            let options = HistogramOpts::new(name, help).buckets(bounds.to_vec());
            Histogram::with_opts(options).expect("a valid name")
        };
        let states = Opts::new(
            "adtally_broker_state",
            "The state of the connection that publishes: 1 for the one it is in.",
        );
        Self {
            publish_seconds: histogram(
                "adtally_publish_seconds",
                "Time from a message's publish to the broker's confirm.",
                &SECONDS,
            ),
            pack_events: histogram(
                "adtally_pack_events",
                "Events in one published pack.",
                &EVENTS,
            ),
            states: IntGaugeVec::new(states, &["state"]).expect("a valid name"),
            state,
        }
    }
}

impl Collector for PublisherMetrics {
    fn desc(&self) -> Vec<&Desc> {
        let histograms = [&self.publish_seconds, &self.pack_events];
        let descriptions = histograms.into_iter().flat_map(Collector::desc);
        descriptions.chain(self.states.desc()).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let current = self.state.borrow().name();
        for name in BrokerState::NAMES {
            let is_current = i64::from(name == current);
            self.states.with_label_values(&[name]).set(is_current);
        }
        let histograms = [&self.publish_seconds, &self.pack_events];
        let families = histograms.into_iter().flat_map(Collector::collect);
        families.chain(self.states.collect()).collect()
    }
}
