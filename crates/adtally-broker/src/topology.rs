//! Our exchanges and queues: their names, their arguments, what is bound to what.

mod ensure;
mod sightings;

use std::time::Duration;

use adtally_domain::EventKind;

pub(crate) use ensure::ensure;
pub(crate) use sightings::Sightings;

use crate::BrokerError;

/// The waits a retry queue can give, in seconds, shortest first.
const RETRY_RUNGS: [u64; 5] = [2, 10, 60, 300, 1_800];

/// How long events wait whose partition is locked.
const EVENTS_RETRY_SECONDS: u64 = 5;

const PREFIX_BYTES: usize = 64;

/// How often a working queue delivers a message before the broker moves it to the dead queue.
const DELIVERY_LIMIT: i64 = 50;
/// The same of a queue with nothing behind it, where it must never be reached. RabbitMQ 4 takes 20
/// unless a limit is named, and drops what reached it; 3.x knows no word for "none".
const NO_DELIVERY_LIMIT: i64 = 1_000_000_000;

/// The names of our queues and exchanges, all beginning with the deployment's prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    prefix: String,
}

impl Topology {
    /// The names that begin with `prefix`: 1 to 64 of `a-z`, `0-9`, `.`, `_` and `-`.
    ///
    /// # Errors
    /// [`BrokerError::InvalidPrefix`] for any other text.
    pub fn new(prefix: &str) -> Result<Self, BrokerError> {
        let plain = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
        if prefix.is_empty() || prefix.len() > PREFIX_BYTES || !prefix.bytes().all(plain) {
            return Err(BrokerError::InvalidPrefix(prefix.to_owned()));
        }
        Ok(Self {
            prefix: prefix.to_owned(),
        })
    }

    /// The prefix itself.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Topic exchange that takes packs of events.
    #[must_use]
    pub fn events_exchange(&self) -> String {
        self.name("events")
    }

    /// Topic exchange that takes tasks; the routing key is the name of the queue.
    #[must_use]
    pub fn tasks_exchange(&self) -> String {
        self.name("tasks")
    }

    /// The queue of packs with events of `kind`.
    #[must_use]
    pub fn events_queue(&self, kind: EventKind) -> String {
        match kind {
            EventKind::Impression => self.impressions_queue(),
            EventKind::Click => self.clicks_queue(),
        }
    }

    /// The queue of packs with impressions.
    #[must_use]
    pub fn impressions_queue(&self) -> String {
        self.name("impressions")
    }

    /// The queue of packs with clicks.
    #[must_use]
    pub fn clicks_queue(&self) -> String {
        self.name("clicks")
    }

    /// The queue of tasks.
    #[must_use]
    pub fn tasks_queue(&self) -> String {
        self.name("tasks")
    }

    /// The exchange and the queue of what a queue's own limits or a worker's refusal put aside.
    #[must_use]
    pub fn dead_queue(&self) -> String {
        self.name("dead")
    }

    /// The exchange and the queue of messages that were routed to no queue.
    #[must_use]
    pub fn unrouted_queue(&self) -> String {
        self.name("unrouted")
    }

    /// Every queue that workers read: both event queues, the tasks, the dead and the unrouted.
    #[must_use]
    pub fn consumed_queues(&self) -> [String; 5] {
        ["impressions", "clicks", "tasks", "dead", "unrouted"].map(|name| self.name(name))
    }

    /// The way to packs with events of `kind`.
    #[must_use]
    pub fn route_of_events(&self, kind: EventKind) -> Route {
        Route::new(self.events_exchange(), event_routing_key(kind))
    }

    /// The way to the tasks.
    #[must_use]
    pub fn route_of_tasks(&self) -> Route {
        Route::new(self.tasks_exchange(), &self.tasks_queue())
    }

    /// The way to `queue`; `None` when it is not one of those that workers read.
    #[must_use]
    pub fn route_to(&self, queue: &str) -> Option<Route> {
        let events = EventKind::ALL
            .into_iter()
            .find(|kind| self.events_queue(*kind) == queue)
            .map(|kind| self.route_of_events(kind));
        events.or_else(|| {
            let others = [
                Route::new(self.dead_queue(), ""),
                Route::new(self.unrouted_queue(), ""),
                self.route_of_tasks(),
            ];
            // Each of these exchanges has the name of its queue.
            others.into_iter().find(|route| route.exchange == queue)
        })
    }

    /// The queues in which tasks wait for their next run, shortest wait first.
    #[must_use]
    pub fn retry_queues(&self) -> Vec<String> {
        RETRY_RUNGS
            .iter()
            .map(|seconds| self.retry_queue(*seconds))
            .collect()
    }

    /// The retry queue for a wait of `delay`, and how much of it a message waits there: in the
    /// shortest that can hold it so long, else in the longest there is, as long as that can.
    ///
    /// The wait is never more than that: RabbitMQ closes the channel on which a message asks for more
    /// than ten years.
    pub(crate) fn retry_queue_for(&self, delay: Duration) -> (String, Duration) {
        let [.., longest] = RETRY_RUNGS;
        let fitting = RETRY_RUNGS
            .into_iter()
            .find(|rung| Duration::from_secs(*rung) >= delay);
        let rung = fitting.unwrap_or(longest);
        (self.retry_queue(rung), delay.min(Duration::from_secs(rung)))
    }

    /// The queue in which packs of `kind` wait for a partition.
    #[must_use]
    pub fn events_retry_queue(&self, kind: EventKind) -> String {
        format!("{}.retry", self.events_queue(kind))
    }

    /// The queues in which packs wait for a partition, one for each kind. No worker reads them: their
    /// messages go back by themselves.
    #[must_use]
    pub fn events_retry_queues(&self) -> [String; 2] {
        EventKind::ALL.map(|kind| self.events_retry_queue(kind))
    }

    /// A key of the default exchange, and so the name of a queue, that does not exist.
    pub(crate) fn probe_key(&self) -> String {
        self.name("probe")
    }

    /// The full name of the queue a task names without its prefix.
    pub(crate) fn task_queue(&self, name: &str) -> String {
        self.name(name)
    }

    fn retry_queue(&self, seconds: u64) -> String {
        self.name(&format!("tasks.retry.{seconds}s"))
    }

    fn name(&self, part: &str) -> String {
        format!("{}.{part}", self.prefix)
    }
}

/// A way to one of our queues that needs no right to publish to the default exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    pub(crate) exchange: String,
    pub(crate) routing_key: String,
}

impl Route {
    fn new(exchange: String, routing_key: &str) -> Self {
        Self {
            exchange,
            routing_key: routing_key.to_owned(),
        }
    }
}

/// The routing key of packs with events of `kind`.
pub(crate) fn event_routing_key(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Impression => "event.impression",
        EventKind::Click => "event.click",
    }
}

/// The routing key of packs with events of `kind` that wait before they come to their queue.
pub(crate) fn event_retry_key(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Impression => "event.impression.retry",
        EventKind::Click => "event.click.retry",
    }
}

/// The argument values that our objects use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Argument {
    Text(String),
    Number(i64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExchangeType {
    Topic,
    Fanout,
}

#[derive(Debug, Clone)]
pub(crate) struct ExchangeSpec {
    pub(crate) name: String,
    pub(crate) kind: ExchangeType,
    pub(crate) arguments: Vec<(&'static str, Argument)>,
}

#[derive(Debug, Clone)]
pub(crate) struct QueueSpec {
    pub(crate) name: String,
    pub(crate) arguments: Vec<(&'static str, Argument)>,
    /// Exchange and key it is bound by.
    pub(crate) binding: (String, String),
}

impl Topology {
    pub(crate) fn exchanges(&self) -> [ExchangeSpec; 4] {
        let unrouted = vec![("alternate-exchange", Argument::Text(self.unrouted_queue()))];
        let exchange = |name, kind, arguments| ExchangeSpec {
            name,
            kind,
            arguments,
        };
        [
            exchange(self.dead_queue(), ExchangeType::Fanout, vec![]),
            exchange(self.unrouted_queue(), ExchangeType::Fanout, vec![]),
            exchange(
                self.events_exchange(),
                ExchangeType::Topic,
                unrouted.clone(),
            ),
            exchange(self.tasks_exchange(), ExchangeType::Topic, unrouted),
        ]
    }

    /// Queues in an order in which a dead-letter target comes before its sources.
    pub(crate) fn queues(&self) -> Vec<QueueSpec> {
        let keyed = |exchange: String, key: &str| (exchange, key.to_owned());
        let key_of = |kind| keyed(self.events_exchange(), event_routing_key(kind));
        let last = || {
            vec![
                ("x-queue-type", text("quorum")),
                ("x-delivery-limit", Argument::Number(NO_DELIVERY_LIMIT)),
            ]
        };
        let queue = |name, arguments, binding| QueueSpec {
            name,
            arguments,
            binding,
        };
        let tasks = keyed(self.tasks_exchange(), &self.tasks_queue());
        let mut queues = vec![
            queue(self.dead_queue(), last(), keyed(self.dead_queue(), "")),
            queue(
                self.unrouted_queue(),
                last(),
                keyed(self.unrouted_queue(), ""),
            ),
            queue(
                self.impressions_queue(),
                self.working(),
                key_of(EventKind::Impression),
            ),
            queue(
                self.clicks_queue(),
                self.working(),
                key_of(EventKind::Click),
            ),
            queue(self.tasks_queue(), self.working(), tasks),
        ];
        queues.extend(EventKind::ALL.map(|kind| self.events_retry(kind)));
        queues.extend(RETRY_RUNGS.map(|seconds| self.retry(seconds)));
        queues
    }

    fn working(&self) -> Vec<(&'static str, Argument)> {
        vec![
            ("x-queue-type", text("quorum")),
            ("x-delivery-limit", Argument::Number(DELIVERY_LIMIT)),
            ("x-dead-letter-exchange", Argument::Text(self.dead_queue())),
            ("x-dead-letter-strategy", text("at-least-once")),
            ("x-overflow", text("reject-publish")),
        ]
    }

    /// A queue nobody reads: what waited in it long enough goes to the task queue.
    fn retry(&self, seconds: u64) -> QueueSpec {
        let name = self.retry_queue(seconds);
        let binding = (self.tasks_exchange(), name.clone());
        let route = self.route_of_tasks();
        waiting(name, binding, seconds, route)
    }

    /// A queue nobody reads: what waited in it long enough goes back to the queue of its kind.
    fn events_retry(&self, kind: EventKind) -> QueueSpec {
        let name = self.events_retry_queue(kind);
        let binding = (self.events_exchange(), event_retry_key(kind).to_owned());
        let route = self.route_of_events(kind);
        waiting(name, binding, EVENTS_RETRY_SECONDS, route)
    }
}

/// A queue that nobody reads, from which messages take `route` after so many seconds.
fn waiting(name: String, binding: (String, String), seconds: u64, route: Route) -> QueueSpec {
    let millis = i64::try_from(seconds.saturating_mul(1_000)).unwrap_or(i64::MAX);
    let arguments = vec![
        ("x-queue-type", text("quorum")),
        ("x-message-ttl", Argument::Number(millis)),
        ("x-dead-letter-exchange", Argument::Text(route.exchange)),
        (
            "x-dead-letter-routing-key",
            Argument::Text(route.routing_key),
        ),
        ("x-dead-letter-strategy", text("at-least-once")),
        ("x-overflow", text("reject-publish")),
    ];
    QueueSpec {
        name,
        arguments,
        binding,
    }
}

fn text(value: &str) -> Argument {
    Argument::Text(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_goes_to_the_shortest_retry_queue_that_can_hold_it() {
        let topology = Topology::new("t").unwrap();
        for (millis, queue, waited) in [
            (0, "t.tasks.retry.2s", 0),
            (2_000, "t.tasks.retry.2s", 2_000),
            (2_001, "t.tasks.retry.10s", 2_001),
            (299_999, "t.tasks.retry.300s", 299_999),
            (86_400_000, "t.tasks.retry.1800s", 1_800_000),
            (u64::MAX, "t.tasks.retry.1800s", 1_800_000),
        ] {
            let (found, wait) = topology.retry_queue_for(Duration::from_millis(millis));
            assert_eq!((&*found, wait.as_millis()), (queue, waited));
        }
    }

    #[test]
    fn a_way_leads_to_each_queue_that_workers_read_and_to_no_other() {
        let topology = Topology::new("t").unwrap();
        for queue in topology.queues() {
            let route = topology.route_to(&queue.name);
            let is_read = topology.consumed_queues().contains(&queue.name);
            let binding = route.map(|route| (route.exchange, route.routing_key));
            assert_eq!(binding, is_read.then_some(queue.binding), "{}", queue.name);
        }
        assert_eq!(topology.route_to("u.clicks"), None);
    }

    #[test]
    fn every_queue_is_bound_to_an_exchange_of_ours_and_every_name_fits_amqp() {
        let topology = Topology::new(&"p".repeat(64)).unwrap();
        let exchanges = topology.exchanges().map(|exchange| exchange.name);
        for queue in topology.queues() {
            assert!(exchanges.contains(&queue.binding.0), "{queue:?}");
            assert!(queue.name.len() <= 255);
        }
    }
}
