//! The connections to the database, as metrics.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntGauge, IntGaugeVec, Opts};

use crate::Store;

/// The metrics of a store, to be registered by its process. Reading them asks nobody.
#[derive(Debug)]
pub struct StoreMetrics {
    store: Store,
    up: IntGauge,
    connections: IntGaugeVec,
    most: IntGauge,
}

impl Store {
    /// What is known of the connections, for the process to register.
    #[must_use]
    #[expect(
        clippy::expect_used,
        reason = "names and labels are literals, checked by any run"
    )]
    pub fn metrics(&self) -> StoreMetrics {
        let gauge = |name, help| IntGauge::new(name, help).expect("a valid name");
        let connections = Opts::new(
            "adtally_database_connections",
            "Connections of the pool to the database, by what they do.",
        );
        StoreMetrics {
            store: self.clone(),
            up: gauge(
                "adtally_database_up",
                "Whether the last call to the database was answered: 1 or 0.",
            ),
            connections: IntGaugeVec::new(connections, &["state"]).expect("a valid name"),
            most: gauge(
                "adtally_database_connections_max",
                "Connections to the database that the pool may have.",
            ),
        }
    }
}

impl Collector for StoreMetrics {
    fn desc(&self) -> Vec<&Desc> {
        let gauges = [&self.up, &self.most].into_iter().flat_map(Collector::desc);
        gauges.chain(self.connections.desc()).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let now = self.store.connections();
        self.up.set(now.answers.into());
        self.most.set(now.most.into());
        for (state, count) in [("in_use", now.in_use), ("idle", now.idle)] {
            let gauge = self.connections.with_label_values(&[state]);
            gauge.set(count.into());
        }
        let gauges = [&self.up, &self.most].into_iter();
        let families = gauges.flat_map(Collector::collect);
        families.chain(self.connections.collect()).collect()
    }
}
