//! What the spool needs of the broker. Tests play one.

use adtally_broker::{BrokerState, NotKept, Publisher};
use adtally_domain::Event;
use futures_util::future::BoxFuture;

/// A broker that events are published to.
pub(crate) trait Broker: Clone + Send + Sync + 'static {
    /// Whether events published now are likely to be confirmed.
    fn is_open(&self) -> bool;
    /// Waits until it is open.
    fn opened(&self) -> BoxFuture<'_, ()>;
    /// Publishes events; the answer has one entry per event, in the same order.
    fn publish<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Vec<Result<(), NotKept>>>;
}

impl Broker for Publisher {
    fn is_open(&self) -> bool {
        self.state().borrow().is_open()
    }

    fn opened(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let mut state = self.state();
            let is_open = state.wait_for(BrokerState::is_open).await.is_ok();
            if !is_open {
                // Closed for good: it never opens.
                std::future::pending::<()>().await;
            }
        })
    }

    fn publish<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Vec<Result<(), NotKept>>> {
        Box::pin(self.publish_events(events))
    }
}
