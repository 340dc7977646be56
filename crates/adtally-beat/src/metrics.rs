//! What beat counts, and what its observer sees.

use std::time::Duration;

use adtally_broker::{QueueState, Topology};
use adtally_domain::{ENTRIES, ReportingZone, Timestamp};
use adtally_service::metrics::Registry;
use adtally_store::Observation;
use prometheus::{Gauge, GaugeVec, IntCounterVec, IntGauge, IntGaugeVec};

use crate::lateness::{lag, overdue_days, overdue_hours};

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
        let slots_sent = registry.counter_vec("adtally_slots_sent_total", sent, &["entry"]);
        for entry in ENTRIES {
            slots_sent.with_label_values(&[entry.name]);
        }
        Self {
            slots_sent,
            last_tick: registry.int_gauge("adtally_last_tick_timestamp_seconds", tick),
        }
    }
}

/// What the [observer](crate::observer) saw last.
#[derive(Debug, Clone)]
pub(crate) struct ObserverMetrics {
    /// How long the oldest event that is known to wait has waited for its total.
    pub(crate) freshness: Gauge,
    messages: IntGaugeVec,
    consumers: IntGaugeVec,
    queue_age: GaugeVec,
    observed_at: IntGaugeVec,
    newest_event: Gauge,
    marked: IntGaugeVec,
    oldest_mark: GaugeVec,
    rolled_up: GaugeVec,
    new_letters: IntGauge,
    partitions_ahead: IntGauge,
    raw_from: Gauge,
    lag: GaugeVec,
}

/// The two kinds of totals, as a label.
const GRANULARITIES: [&str; 2] = ["hour", "day"];

impl ObserverMetrics {
    /// Registers the gauges; each is there with 0 before anything was seen.
    pub(crate) fn new(registry: &Registry, topology: &Topology) -> Self {
        let gauge = |name, help| registry.gauge(name, help);
        let gauges = |name, help, label| registry.gauge_vec(name, help, &[label]);
        let numbers = |name, help, label| registry.int_gauge_vec(name, help, &[label]);
        let metrics = Self {
            freshness: gauge(
                "adtally_freshness_seconds",
                "Age of the oldest event that may wait for its total: in a queue, in an hour or day \
                 that is over and not rolled up since, or with workers that finish nothing.",
            ),
            messages: numbers(
                "adtally_queue_messages",
                "Messages that wait in a queue, those in a worker's hands not counted.",
                "queue",
            ),
            consumers: numbers(
                "adtally_queue_consumers",
                "Workers that take messages from a queue.",
                "queue",
            ),
            queue_age: gauges(
                "adtally_queue_age_seconds",
                "Since when a queue was not seen empty: no message in it is older, unless it came back.",
                "queue",
            ),
            observed_at: numbers(
                "adtally_observed_timestamp_seconds",
                "When the queues and the database were last looked at, in Unix time.",
                "server",
            ),
            newest_event: gauge(
                "adtally_newest_event_timestamp_seconds",
                "Time of the newest stored event, in Unix time; 0 before one of a day ago or newer.",
            ),
            marked: numbers(
                "adtally_marked_buckets",
                "Hours and days that are over and wait for a roll-up.",
                "granularity",
            ),
            oldest_mark: gauges(
                "adtally_oldest_mark_age_seconds",
                "How long the oldest of those has waited.",
                "granularity",
            ),
            rolled_up: gauges(
                "adtally_last_roll_up_timestamp_seconds",
                "When the newest hour or day that was rolled up after its end was, in Unix time.",
                "granularity",
            ),
            new_letters: registry.int_gauge(
                "adtally_dead_letters_new",
                "Dead letters that wait for a decision, counted up to 100,000.",
            ),
            partitions_ahead: registry.int_gauge(
                "adtally_partitions_ahead",
                "Days right after today that have a partition already, at most 30.",
            ),
            raw_from: gauge(
                "adtally_raw_from_timestamp_seconds",
                "Raw events before this Unix time were dropped; 0 while all are kept.",
            ),
            lag: gauges(
                "adtally_schedule_lag_seconds",
                "How late the oldest slot is that was due behind the last one a worker has finished.",
                "entry",
            ),
        };
        metrics.zero(topology);
        metrics
    }

    fn zero(&self, topology: &Topology) {
        for queue in topology.consumed_queues() {
            self.queue(&queue, QueueState::default(), Duration::ZERO);
        }
        let retries = topology.events_retry_queues().into_iter();
        for queue in retries.chain(topology.retry_queues()) {
            self.retry_queue(&queue, 0);
        }
        for server in ["broker", "database"] {
            self.observed_at.with_label_values(&[server]).set(0);
        }
        for granularity in GRANULARITIES {
            self.marked.with_label_values(&[granularity]).set(0);
            self.oldest_mark.with_label_values(&[granularity]).set(0.0);
            self.rolled_up.with_label_values(&[granularity]).set(0.0);
        }
        for entry in ENTRIES {
            self.lag.with_label_values(&[entry.name]).set(0.0);
        }
    }

    /// Shows what is in a queue that workers read.
    pub(crate) fn queue(&self, queue: &str, found: QueueState, waited: Duration) {
        self.retry_queue(queue, found.messages);
        let consumers = self.consumers.with_label_values(&[queue]);
        consumers.set(found.consumers.into());
        self.queue_age
            .with_label_values(&[queue])
            .set(waited.as_secs_f64());
    }

    /// Shows what is in a queue in which tasks wait on purpose.
    pub(crate) fn retry_queue(&self, queue: &str, messages: u32) {
        self.messages
            .with_label_values(&[queue])
            .set(messages.into());
    }

    /// Notes that all queues were observed.
    pub(crate) fn queues_observed(&self) {
        let now = adtally_service::clock::now().timestamp();
        self.observed_at.with_label_values(&["broker"]).set(now);
    }

    /// Shows what the database says.
    pub(crate) fn show(&self, zone: &ReportingZone, seen: &Observation, delay: Duration) {
        let observed_at = self.observed_at.with_label_values(&["database"]);
        observed_at.set(seen.at.as_millis() / 1_000);
        if let Some(newest) = seen.newest_event {
            self.newest_event.set(seconds(newest));
        }
        self.waiting("hour", overdue_hours(zone, seen));
        self.waiting("day", overdue_days(zone, seen));
        let rolled_up = [seen.hour_rolled_up_at, seen.day_rolled_up_at];
        for (granularity, at) in GRANULARITIES.into_iter().zip(rolled_up) {
            let at = at.map_or(0.0, seconds);
            self.rolled_up.with_label_values(&[granularity]).set(at);
        }
        self.new_letters.set(number(seen.new_letters));
        self.partitions_ahead.set(number(seen.partitions_ahead));
        self.raw_from.set(seen.raw_from.map_or(0.0, seconds));
        for entry in ENTRIES {
            let late = lag(entry, seen, delay).as_secs_f64();
            self.lag.with_label_values(&[entry.name]).set(late);
        }
    }

    fn waiting(&self, granularity: &str, waits: impl Iterator<Item = Duration>) {
        let (count, oldest) = waits.fold((0, Duration::ZERO), |(count, oldest), wait| {
            (count + 1, oldest.max(wait))
        });
        self.marked.with_label_values(&[granularity]).set(count);
        let age = self.oldest_mark.with_label_values(&[granularity]);
        age.set(oldest.as_secs_f64());
    }
}

fn seconds(at: Timestamp) -> f64 {
    at.to_datetime().timestamp_millis() as f64 / 1_000.0
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
