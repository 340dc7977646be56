//! Queues in which messages wait before the broker moves them on.

use std::time::Duration;

use adtally_domain::EventKind;

use super::objects::{Argument, QueueSpec, text};
use super::route::event_retry_key;
use super::{Route, Topology};

/// The waits a retry queue can give, in seconds, shortest first.
const RETRY_RUNGS: [u64; 5] = [2, 10, 60, 300, 1_800];

/// How long events wait whose partition is locked.
const EVENTS_RETRY_SECONDS: u64 = 5;

impl Topology {
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

    /// All queues in which messages wait.
    pub(super) fn waiting_queues(&self) -> Vec<QueueSpec> {
        let events = EventKind::ALL.map(|kind| self.events_retry(kind));
        let tasks = RETRY_RUNGS.map(|seconds| self.retry(seconds));
        events.into_iter().chain(tasks).collect()
    }

    fn retry_queue(&self, seconds: u64) -> String {
        self.name(&format!("tasks.retry.{seconds}s"))
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
}
