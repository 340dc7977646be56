//! What beat counts.

use adtally_service::metrics::Registry;
use prometheus::{IntCounterVec, IntGauge};

/// Beat's metrics.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    /// Slots this beat sent.
    pub(crate) slots_sent: IntCounterVec,
    /// When the last look at the schedule succeeded.
    pub(crate) last_tick: IntGauge,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        let sent = "Slots whose task this beat put on the queue.";
        let tick = "Unix time of the last complete look at the schedule.";
        Self {
            slots_sent: registry.counter_vec("adtally_slots_sent_total", sent, &["entry"]),
            last_tick: registry.int_gauge("adtally_last_tick_timestamp_seconds", tick),
        }
    }
}
