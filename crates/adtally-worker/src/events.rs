//! Storing events: from deliveries to rows, acknowledged after the commit.

mod batch;
mod letters;
mod suspects;

use std::sync::Arc;
use std::time::{Duration, Instant};

use adtally_broker::{Backoff, BrokerError, Delivery, Publisher, Subscription, ack_all};
use adtally_domain::ReportingZone;
use adtally_service::Shutdown;
use adtally_store::{EventBatch, Store, StoreError};

use crate::metrics::Metrics;
use crate::session::End;
use batch::Batch;
pub(crate) use letters::letter_of_message;
use suspects::{Suspicion, letter_of_suspect};

/// How often a batch is tried before the worker lets go of its messages and waits for the database.
const QUICK_TRIES: u32 = 3;

/// Stores the events of one queue.
pub(crate) struct EventConsumer {
    pub(crate) store: Store,
    pub(crate) publisher: Publisher,
    pub(crate) zone: ReportingZone,
    pub(crate) metrics: Metrics,
    /// Whether the queue has no dead-letter exchange: what is refused there is gone.
    pub(crate) is_last_stop: bool,
}

impl EventConsumer {
    /// Stores what `subscription` brings until `stop`, then finishes what it has begun.
    ///
    /// On any other end, messages in hand go back to their queue once, after the subscription is
    /// cancelled: otherwise they would come straight back and count as failed each time.
    pub(crate) async fn run(self, mut subscription: Subscription, stop: Shutdown) -> End {
        let mut next = None;
        let end = loop {
            let first = match next.take() {
                Some(delivery) => delivery,
                None => match first_of(&mut subscription, &stop).await {
                    Ok(delivery) => delivery,
                    Err(end) => break end,
                },
            };
            let (batch, held) = Batch::collect(first, &mut subscription);
            next = held;
            if let Err((end, unsettled)) = self.settle(batch).await {
                return leave(subscription, unsettled.into_iter().chain(next), end).await;
            }
        };
        leave(subscription, next, end).await
    }

    async fn settle(&self, mut batch: Batch) -> Result<(), (End, Vec<Delivery>)> {
        let begin = Instant::now();
        for delivery in batch
            .deliveries
            .iter()
            .filter(|delivery| delivery.redelivered)
        {
            self.metrics
                .redeliveries
                .with_label_values(&[&*delivery.queue])
                .inc();
        }
        match suspects::suspicion(&batch) {
            Suspicion::None => {}
            Suspicion::Split => return self.split(batch).await,
            Suspicion::Bury => return self.bury(batch).await,
        }
        let (decoded, newer) = batch.decode();
        let stored = self.store_and_ack(decoded, batch.deliveries, begin).await;
        match (stored, newer) {
            (Ok(()), None) => Ok(()),
            (Ok(()), Some(newer)) => Err((End::NewerPack(newer.version), newer.deliveries)),
            (Err((end, mut unsettled)), newer) => {
                unsettled.extend(newer.into_iter().flat_map(|newer| newer.deliveries));
                Err((end, unsettled))
            }
        }
    }

    async fn store_and_ack(
        &self,
        batch: EventBatch,
        deliveries: Vec<Delivery>,
        begin: Instant,
    ) -> Result<(), (End, Vec<Delivery>)> {
        if deliveries.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.store(&Arc::new(batch)).await {
            return Err((End::Database(error), deliveries));
        }
        // From here on the events are safe: what is not acknowledged comes again and is known.
        ack_all(deliveries).await.map_err(broker)?;
        self.metrics
            .store_seconds
            .observe(begin.elapsed().as_secs_f64());
        Ok(())
    }

    async fn store(&self, batch: &Arc<EventBatch>) -> Result<(), StoreError> {
        let mut backoff = Backoff::default();
        for tries_left in (0..QUICK_TRIES).rev() {
            match self.store.store_events(self.zone, batch.clone()).await {
                Ok(stored) => {
                    self.metrics.count(&stored, &batch.dead_letters);
                    return Ok(());
                }
                Err(error) if tries_left == 0 => return Err(error),
                Err(error) => log::warn!("a batch is not stored yet: {error}; trying again"),
            }
            tokio::time::sleep(backoff.next_delay()).await;
        }
        Ok(())
    }

    /// Replaces the one pack of `batch` by its halves, to find out which event ends workers.
    async fn split(&self, batch: Batch) -> Result<(), (End, Vec<Delivery>)> {
        let Some((halves, letters)) = batch.halves() else {
            return Ok(());
        };
        if !letters.is_empty() {
            let letters = EventBatch {
                events: Vec::new(),
                dead_letters: letters,
            };
            if let Err(error) = self.store(&Arc::new(letters)).await {
                return Err((End::Database(error), batch.deliveries));
            }
        }
        for half in halves.iter().filter(|half| !half.is_empty()) {
            if let Err(error) = self.publisher.publish_pack(half).await {
                return Err((End::Broker(error.to_string()), batch.deliveries));
            }
        }
        ack_all(batch.deliveries).await.map_err(broker)
    }

    /// Gives the one event of `batch` up: to the dead queue, by way of the queue's own dead-letter
    /// exchange, or, where there is none, as a dead letter.
    async fn bury(&self, batch: Batch) -> Result<(), (End, Vec<Delivery>)> {
        if self.is_last_stop {
            let letters = EventBatch {
                events: Vec::new(),
                dead_letters: batch.deliveries.iter().map(letter_of_suspect).collect(),
            };
            return self
                .store_and_ack(letters, batch.deliveries, Instant::now())
                .await;
        }
        for delivery in batch.deliveries {
            delivery.dead_letter().await.map_err(broker)?;
        }
        Ok(())
    }
}

async fn first_of(subscription: &mut Subscription, stop: &Shutdown) -> Result<Delivery, End> {
    let delivery = tokio::select! {
        biased;
        () = stop.requested() => return Err(End::Stopped),
        delivery = subscription.next() => delivery,
    };
    match delivery {
        Some(Ok(delivery)) => Ok(delivery),
        Some(Err(error)) => Err(End::Broker(error.to_string())),
        None => Err(End::Broker(format!(
            "the subscription to {} ended",
            subscription.queue()
        ))),
    }
}

async fn leave(
    subscription: Subscription,
    unsettled: impl IntoIterator<Item = Delivery>,
    end: End,
) -> End {
    // A session that is over has given everything back by itself.
    if subscription.cancel().await.is_ok() {
        for delivery in unsettled {
            if delivery.give_back().await.is_err() {
                break;
            }
        }
    }
    end
}

fn broker(error: BrokerError) -> (End, Vec<Delivery>) {
    (End::Broker(error.to_string()), Vec::new())
}

/// How long a worker waits before it looks again whether a newer pack was taken by another one.
pub(crate) const NEWER_PACK_PAUSE: Duration = Duration::from_secs(60);
