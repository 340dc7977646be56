//! Where valid events go, and whether they are durable there.

mod fallback;

use adtally_broker::{NotKept, Publisher};
use adtally_domain::Event;
use futures_util::future::BoxFuture;

pub(crate) use fallback::FallbackSink;

/// Whether an event survives the end of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// Confirmed by the broker, or synced to disk: the event will be counted.
    Durable,
    /// Certainly nowhere: the event is only counted if it is sent again.
    Lost,
    /// It may be durable, or become so: no answer came in time.
    Unknown,
}

/// Takes events and answers for each of them, within a bounded time.
pub(crate) trait EventSink: Send + Sync {
    /// Sends `events`; the answer has one entry per event, in the same order.
    fn send(&self, events: Vec<Event>) -> BoxFuture<'_, Vec<Durability>>;
}

/// Sends events to the broker.
pub(crate) struct BrokerSink {
    publisher: Publisher,
}

impl BrokerSink {
    /// A sink that publishes with `publisher`.
    pub(crate) fn new(publisher: Publisher) -> Self {
        Self { publisher }
    }
}

impl EventSink for BrokerSink {
    fn send(&self, events: Vec<Event>) -> BoxFuture<'_, Vec<Durability>> {
        Box::pin(async move {
            let results = self.publisher.publish_events(events).await;
            results.into_iter().map(Durability::from).collect()
        })
    }
}

impl From<Result<(), NotKept>> for Durability {
    fn from(result: Result<(), NotKept>) -> Self {
        match result {
            Ok(()) => Self::Durable,
            Err(NotKept::Nacked) => Self::Lost,
            // The broker may have the event without having confirmed it.
            Err(NotKept::Deadline | NotKept::Blocked | NotKept::Closed) => Self::Unknown,
        }
    }
}
