//! What a worker counts.

use adtally_service::metrics::{Registry, SECONDS};
use adtally_store::Stored;
use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec};

/// The worker's metrics.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    stored: IntCounterVec,
    duplicates: IntCounter,
    conflicts: IntCounter,
    dead_letters: IntCounterVec,
    /// Messages that were delivered before.
    pub(crate) redeliveries: IntCounterVec,
    /// How long a batch took until it was stored and acknowledged.
    pub(crate) store_seconds: Histogram,
    /// How long a worker rested after a batch, a part of the above.
    pub(crate) rest_seconds: Histogram,
    /// Runs of tasks by name and outcome.
    pub(crate) tasks: IntCounterVec,
    /// How long runs of tasks took.
    pub(crate) task_seconds: HistogramVec,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        let counter = |name, help| registry.counter(name, help);
        let counters = |name, help, labels: &[&str]| registry.counter_vec(name, help, labels);
        Self {
            stored: counters("adtally_events_stored_total", "Events stored.", &["kind"]),
            duplicates: counter(
                "adtally_events_duplicate_total",
                "Events that were stored before and not counted again.",
            ),
            conflicts: counter(
                "adtally_events_conflict_total",
                "Events whose id was stored before with another payload; the first stands.",
            ),
            dead_letters: counters(
                "adtally_dead_letters_total",
                "Dead letters kept, by reason.",
                &["reason"],
            ),
            redeliveries: counters(
                "adtally_redeliveries_total",
                "Messages that had been delivered before, by queue.",
                &["queue"],
            ),
            store_seconds: registry.histogram(
                "adtally_store_seconds",
                "Time to store and acknowledge a batch of events.",
                &SECONDS,
            ),
            rest_seconds: registry.histogram(
                "adtally_rest_seconds",
                "Time of that in which the worker rested because others waited for a processor.",
                &SECONDS,
            ),
            tasks: counters(
                "adtally_tasks_total",
                "Runs of tasks, by task and outcome.",
                &["task", "outcome"],
            ),
            task_seconds: registry.histogram_vec(
                "adtally_task_seconds",
                "Time one run of a task took.",
                &SECONDS,
                &["task"],
            ),
        }
    }

    /// Counts what became of a batch.
    pub(crate) fn count(&self, stored: &Stored) {
        self.stored
            .with_label_values(&["impression"])
            .inc_by(stored.inserted_impressions);
        self.stored
            .with_label_values(&["click"])
            .inc_by(stored.inserted_clicks);
        // First: whoever finds a duplicate counted finds its conflict counted too.
        self.conflicts.inc_by(stored.conflicts);
        self.duplicates.inc_by(stored.duplicates);
        for (reason, new) in &stored.dead_letters {
            self.count_letters(reason, *new);
        }
    }

    /// Counts dead letters that are `new`.
    pub(crate) fn count_letters(&self, reason: &str, new: u64) {
        self.dead_letters.with_label_values(&[reason]).inc_by(new);
    }
}
