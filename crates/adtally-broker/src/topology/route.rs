//! The ways to our queues.

use adtally_domain::EventKind;

use super::Topology;

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

impl Topology {
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

    /// A key of the default exchange, and so the name of a queue, that does not exist.
    pub(crate) fn probe_key(&self) -> String {
        self.name("probe")
    }

    /// The full name of the queue a task names without its prefix.
    pub(crate) fn task_queue(&self, name: &str) -> String {
        self.name(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
