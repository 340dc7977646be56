//! Filling queues with packs, and counting what is in them.

use std::time::Duration;

use adtally_broker::{ConsumerSession, Delivery, Publisher, PublisherOptions, ack_all};
use adtally_domain::Event;
use adtally_wire::pack;
use anyhow::{Context, anyhow, bail};
use futures_util::future::join_all;
use uuid::Uuid;

use crate::lab::Ground;

/// How many deliveries are in hand while counting.
const PREFETCH: u16 = 200;
/// A queue is empty when nothing comes for so long.
const SILENCE: Duration = Duration::from_millis(1_500);
/// Events that one publish call takes.
const CALL: usize = 20_000;
/// Calls under way at once.
const CALLS: usize = 4;

/// Publishes events, packed, with confirms.
pub(crate) struct Filler {
    publisher: Publisher,
}

impl Filler {
    pub(crate) fn open(ground: &Ground<'_>) -> anyhow::Result<Self> {
        let options = PublisherOptions {
            deadline: Duration::from_secs(60),
            ..PublisherOptions::default()
        };
        Ok(Self {
            publisher: Publisher::start(ground.broker()?, options),
        })
    }

    /// Puts `events` on their queues.
    pub(crate) async fn fill(&self, events: &[Event]) -> anyhow::Result<()> {
        for calls in events.chunks(CALL * CALLS) {
            let calls = calls
                .chunks(CALL)
                .map(|call| self.publisher.publish_events(call));
            for result in join_all(calls).await.into_iter().flatten() {
                result.map_err(|error| anyhow!("an event is not confirmed: {error}"))?;
            }
        }
        Ok(())
    }

    pub(crate) async fn close(self) {
        self.publisher.close().await;
    }
}

/// Takes everything out of a ground's two queues of events and says how many there were.
///
/// # Errors
/// An id that is there twice, and anything that is not an event.
pub(crate) async fn drain(ground: &Ground<'_>) -> anyhow::Result<u64> {
    let broker = ground.broker()?;
    let session = ConsumerSession::connect(&broker).await?;
    let mut ids = Vec::new();
    for queue in [
        broker.topology().impressions_queue(),
        broker.topology().clicks_queue(),
    ] {
        let mut subscription = session.subscribe(&queue, PREFETCH).await?;
        let mut deliveries = Vec::new();
        while let Ok(next) = tokio::time::timeout(SILENCE, subscription.next()).await {
            let delivery = next.context("the subscription ended")??;
            read(&delivery, &mut ids)?;
            deliveries.push(delivery);
            if deliveries.len() >= usize::from(PREFETCH) / 2 {
                ack_all(std::mem::take(&mut deliveries)).await?;
            }
        }
        ack_all(deliveries).await?;
        subscription.cancel().await?;
    }
    session.close().await;
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    if ids.len() != count {
        bail!(
            "{} of {count} events were published twice",
            count - ids.len()
        );
    }
    Ok(count as u64)
}

fn read(delivery: &Delivery, ids: &mut Vec<Uuid>) -> anyhow::Result<()> {
    for event in pack::decode(&delivery.body)? {
        ids.push(event?.id.as_uuid());
    }
    Ok(())
}
