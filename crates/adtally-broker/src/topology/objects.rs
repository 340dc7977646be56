//! Our exchanges and queues with their arguments, as they are declared.

use adtally_domain::EventKind;

use super::Topology;
use super::route::event_routing_key;

/// How often a working queue delivers a message before the broker moves it to the dead queue.
const DELIVERY_LIMIT: i64 = 50;
/// The same of a queue with nothing behind it, where it must never be reached. RabbitMQ 4 takes 20
/// unless a limit is named, and drops what reached it; 3.x knows no word for "none".
const NO_DELIVERY_LIMIT: i64 = 1_000_000_000;

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
        queues.extend(self.waiting_queues());
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
}

pub(super) fn text(value: &str) -> Argument {
    Argument::Text(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

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
