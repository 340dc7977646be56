//! Keeps events in the broker, or else on disk.

use adtally_broker::NotKept;
use adtally_domain::Event;
use futures_util::future::BoxFuture;

use super::replay::Broker;
use super::{NotSpooled, Spool};
use crate::keeper::{Keeper, Kept, kept};

/// Tries the broker first, unless it is known to be away.
pub(crate) struct SpoolKeeper<B> {
    broker: B,
    spool: Spool,
}

impl<B: Broker> SpoolKeeper<B> {
    /// A keeper that publishes with `broker` and falls back on `spool`.
    pub(crate) fn new(broker: B, spool: Spool) -> Self {
        Self { broker, spool }
    }

    async fn publish(&self, events: &[Event]) -> Vec<Kept> {
        if !self.broker.is_open() {
            return vec![Kept::No; events.len()];
        }
        let results: Vec<Result<(), NotKept>> = self.broker.publish(events).await;
        results.into_iter().map(kept).collect()
    }
}

impl<B: Broker> Keeper for SpoolKeeper<B> {
    fn keep(&self, events: Vec<Event>) -> BoxFuture<'_, Vec<Kept>> {
        Box::pin(async move {
            let mut answers = self.publish(&events).await;
            let pairs = events.into_iter().zip(&answers);
            let left: Vec<_> = pairs
                .filter(|(_, kept)| **kept != Kept::Yes)
                .map(|(event, _)| event)
                .collect();
            if left.is_empty() {
                return answers;
            }
            let spooled = self.spool.append(&left).await;
            for answer in answers.iter_mut().filter(|kept| **kept != Kept::Yes) {
                match spooled {
                    Ok(()) => *answer = Kept::Yes,
                    Err(NotSpooled::Unsure) => *answer = Kept::Unknown,
                    Err(NotSpooled::Refused) => {}
                }
            }
            answers
        })
    }
}
