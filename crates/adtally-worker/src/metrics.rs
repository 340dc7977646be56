//! What a worker counts.

use adtally_broker::Topology;
use adtally_domain::{
    AggregateDay, AggregateHour, DeadLetterReason, EventKind, MaintainPartitions, SweepDirty, Task,
};
use adtally_service::metrics::{Registry, SECONDS};
use adtally_store::Stored;
use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec};

/// The tasks there are. What is none of them counts as `unknown`.
const TASKS: [&str; 5] = [
    AggregateHour::NAME,
    AggregateDay::NAME,
    SweepDirty::NAME,
    MaintainPartitions::NAME,
    "unknown",
];

/// What a run of a task comes to.
const OUTCOMES: [&str; 7] = [
    "succeeded",
    "repeated",
    "retried",
    "put_off",
    "waiting",
    "expired",
    "dead",
];

/// The worker's metrics.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    stored: IntCounterVec,
    duplicates: IntCounter,
    conflicts: IntCounter,
    /// Events that wait for the partition of their day.
    pub(crate) put_off: IntCounter,
    dead_letters: IntCounterVec,
    /// Messages that were delivered before.
    redeliveries: IntCounterVec,
    /// How long a batch took until it was stored and acknowledged.
    pub(crate) store_seconds: Histogram,
    /// How long a worker paused after a batch, a part of the above.
    pub(crate) rest_seconds: Histogram,
    /// Runs of tasks by name and outcome.
    tasks: IntCounterVec,
    /// How long runs of tasks took.
    pub(crate) task_seconds: HistogramVec,
}

impl Metrics {
    /// Registers the metrics of a worker of the queues of `topology`. Each is there with 0 from the
    /// start, so that the first count is seen as an increase.
    pub(crate) fn new(registry: &Registry, topology: &Topology) -> Self {
        let metrics = Self::registered(registry);
        for kind in EventKind::ALL {
            metrics.stored.with_label_values(&[kind.as_str()]);
        }
        for reason in DeadLetterReason::ALL {
            metrics.count_letters(*reason, 0);
        }
        for queue in topology.consumed_queues() {
            metrics.redeliveries.with_label_values(&[&queue]);
        }
        for task in TASKS {
            metrics.task_seconds.with_label_values(&[task]);
            for outcome in OUTCOMES {
                metrics.tasks.with_label_values(&[task, outcome]);
            }
        }
        metrics
    }

    fn registered(registry: &Registry) -> Self {
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
            put_off: counter(
                "adtally_events_put_off_total",
                "Events sent on a round through the broker, because somebody holds a lock on the \
                 partition of their day.",
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
                "Time of that in which the worker paused because others waited for a processor (--yield-cpu).",
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
            self.count_letters(*reason, *new);
        }
    }

    /// Counts a message of `queue` that was delivered before.
    pub(crate) fn count_redelivery(&self, queue: &str) {
        self.redeliveries.with_label_values(&[queue]).inc();
    }

    /// Counts what a run of `task` came to.
    pub(crate) fn count_task(&self, task: &str, outcome: &str) {
        debug_assert!(TASKS.contains(&task) && OUTCOMES.contains(&outcome));
        self.tasks.with_label_values(&[task, outcome]).inc();
    }

    /// Counts dead letters that are `new`.
    pub(crate) fn count_letters(&self, reason: DeadLetterReason, new: u64) {
        self.dead_letters
            .with_label_values(&[reason.as_str()])
            .inc_by(new);
    }
}
