//! The one place that accepted events go to, and that knows whether they are safe.

use adtally_broker::{NotKept, Publisher};
use adtally_domain::Event;
use futures_util::future::BoxFuture;

/// Whether an event is safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// It is: whatever happens to this process, the event will be counted.
    Yes,
    /// It is not, and never will be unless it is sent again.
    No,
    /// It may be, or may become so: nobody said in time.
    Unknown,
}

/// Takes events and answers for each, in order, within a bounded time, whether it is safe.
pub(crate) trait Keeper: Send + Sync {
    /// Keeps `events`; the answer has as many entries, in the same order.
    fn keep(&self, events: Vec<Event>) -> BoxFuture<'_, Vec<Kept>>;
}

/// Keeps events in the broker.
pub(crate) struct BrokerKeeper {
    publisher: Publisher,
}

impl BrokerKeeper {
    /// A keeper that publishes with `publisher`.
    pub(crate) fn new(publisher: Publisher) -> Self {
        Self { publisher }
    }
}

impl Keeper for BrokerKeeper {
    fn keep(&self, events: Vec<Event>) -> BoxFuture<'_, Vec<Kept>> {
        Box::pin(async move {
            let results = self.publisher.publish_events(events).await;
            results.into_iter().map(kept).collect()
        })
    }
}

/// What the broker's answer says of an event.
pub(crate) fn kept(result: Result<(), NotKept>) -> Kept {
    match result {
        Ok(()) => Kept::Yes,
        Err(NotKept::Nacked) => Kept::No,
        // The broker may have the event without having said so.
        Err(NotKept::Deadline | NotKept::Blocked | NotKept::Closed) => Kept::Unknown,
    }
}
