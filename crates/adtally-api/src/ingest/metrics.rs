//! What is counted of events.

use adtally_domain::{EventKind, RejectCode};
use adtally_service::metrics::Registry;
use prometheus::{IntCounter, IntCounterVec};

/// Counts events. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct IngestMetrics {
    /// Looked up once: they count every event.
    impressions: IntCounter,
    clicks: IntCounter,
    rejected: IntCounterVec,
}

impl IngestMetrics {
    /// Registers the metrics; every count starts at 0.
    pub(crate) fn new(registry: &Registry) -> Self {
        let accepted = registry.counter_vec(
            "adtally_events_accepted_total",
            "Events that were made durable: confirmed by the broker or synced to disk.",
            &["kind"],
        );
        let of_kind = |kind: EventKind| accepted.with_label_values(&[kind.as_str()]);
        let metrics = Self {
            impressions: of_kind(EventKind::Impression),
            clicks: of_kind(EventKind::Click),
            rejected: registry.counter_vec(
                "adtally_events_rejected_total",
                "Events that were refused, or that could not be made durable (not_kept).",
                &["code"],
            ),
        };
        for &code in RejectCode::ALL {
            metrics.rejected(code, 0);
        }
        metrics
    }

    /// Counts `events` events of `kind` as durable.
    pub(crate) fn accepted(&self, kind: EventKind, events: u64) {
        let counter = match kind {
            EventKind::Impression => &self.impressions,
            EventKind::Click => &self.clicks,
        };
        counter.inc_by(events);
    }

    /// Counts `events` events as refused with `code`.
    pub(crate) fn rejected(&self, code: RejectCode, events: u64) {
        self.rejected
            .with_label_values(&[code.as_str()])
            .inc_by(events);
    }
}
