//! The broker first, the spool when the broker does not confirm.

use adtally_domain::Event;
use futures_util::future::BoxFuture;

use super::{Durability, EventSink};
use crate::ingest::spool::{Broker, NotSpooled, Spool};

/// Publishes events, unless the broker is known to be away, and spools those that are not confirmed.
pub(crate) struct FallbackSink<B> {
    broker: B,
    spool: Spool,
}

impl<B: Broker> FallbackSink<B> {
    /// A sink that publishes with `broker` and falls back to `spool`.
    pub(crate) fn new(broker: B, spool: Spool) -> Self {
        Self { broker, spool }
    }

    async fn publish(&self, events: &[Event]) -> Vec<Durability> {
        if !self.broker.is_open() {
            return vec![Durability::Lost; events.len()];
        }
        let results = self.broker.publish(events).await;
        results.into_iter().map(Durability::from).collect()
    }
}

impl<B: Broker> EventSink for FallbackSink<B> {
    fn send(&self, events: Vec<Event>) -> BoxFuture<'_, Vec<Durability>> {
        Box::pin(async move {
            let mut outcomes = self.publish(&events).await;
            let pairs = events.into_iter().zip(&outcomes);
            let unconfirmed: Vec<_> = pairs
                .filter(|(_, outcome)| **outcome != Durability::Durable)
                .map(|(event, _)| event)
                .collect();
            if unconfirmed.is_empty() {
                return outcomes;
            }
            let spooled = self.spool.append(&unconfirmed).await;
            let unconfirmed = outcomes
                .iter_mut()
                .filter(|outcome| **outcome != Durability::Durable);
            for outcome in unconfirmed {
                match spooled {
                    Ok(()) => *outcome = Durability::Durable,
                    Err(NotSpooled::Unsure) => *outcome = Durability::Unknown,
                    Err(NotSpooled::Refused) => {}
                }
            }
            outcomes
        })
    }
}
