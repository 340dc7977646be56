//! What all parts of a worker work with.

use adtally_broker::Publisher;
use adtally_store::Store;

use crate::args::Config;
use crate::metrics::Metrics;

/// A worker: its configuration and its servers.
pub(crate) struct Worker {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) publisher: Publisher,
    pub(crate) metrics: Metrics,
}
