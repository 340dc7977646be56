//! What the spool counts.

use adtally_service::metrics::Registry;
use prometheus::{IntCounter, IntGauge};

/// The spool's metrics. Only an API with a spool has them.
#[derive(Debug, Clone)]
pub(super) struct SpoolMetrics {
    pub(super) bytes: IntGauge,
    pub(super) events: IntGauge,
    pub(super) oldest_age: IntGauge,
    pub(super) written: IntCounter,
    pub(super) replayed: IntCounter,
    pub(super) corrupt: IntCounter,
}

impl SpoolMetrics {
    /// Registers the metrics of a spool that takes `limit` bytes.
    pub(super) fn new(registry: &Registry, limit: u64) -> Self {
        let help = "Bytes that the spool may take: --spool-max-bytes.";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        registry
            .int_gauge("adtally_spool_limit_bytes", help)
            .set(limit);
        Self {
            bytes: registry.int_gauge("adtally_spool_bytes", "Bytes of the spool's segments."),
            events: registry.int_gauge(
                "adtally_spool_events",
                "Events on disk that the broker has not confirmed yet.",
            ),
            oldest_age: registry.int_gauge(
                "adtally_spool_oldest_age_seconds",
                "How long the oldest event has been on disk; 0 when there is none.",
            ),
            written: registry.counter(
                "adtally_spool_written_events_total",
                "Events that were made safe on disk.",
            ),
            replayed: registry.counter(
                "adtally_spool_replayed_events_total",
                "Events from disk that the broker confirmed.",
            ),
            corrupt: registry.counter(
                "adtally_spool_corrupt_records_total",
                "Records that could not be read back and were kept aside.",
            ),
        }
    }
}
