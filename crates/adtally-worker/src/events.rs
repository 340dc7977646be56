//! Storing events: from deliveries to rows, acknowledged after the commit.
//!
//! ```text
//!                     ┌─▶ IsolationQueue ─┐ a message that came back often, alone
//!  delivery ─▶ PoisonPolicy               ▼
//!                     └─▶ Batcher ─▶ StorePipeline ─▶ BatchHandler: store, commit, ack
//!                         size or age    permits          │
//!                                                         └─▶ Parked: what must wait for the broker
//! ```
//!
//! - A message is acknowledged only when what is in it is committed.
//! - No batch begins after one that failed. Its messages, and all others in hand, go back to their queue
//!   once, after the subscription is cancelled.

mod batch;
mod batcher;
mod flush_timer;
mod handler;
mod isolation;
mod isolation_queue;
mod parked;
mod pipeline;
mod poison;
mod pool;
mod sink;
#[cfg(test)]
mod tests;
mod unsupported;

use std::sync::Arc;

use adtally_broker::{Delivery, Subscription};
use tokio::time::Instant;

use crate::event_queue::EventQueue;
use crate::stop_reason::{StopReason, Unacked};
use batch::Batch;
use batcher::Batcher;
use handler::BatchHandler;
use isolation_queue::IsolationQueue;
use parked::Parked;
use pipeline::{StorePermit, StorePipeline};
use poison::{Action, PoisonPolicy, Stage};
use pool::BatchPool;
pub(crate) use sink::EventSink;
pub(crate) use unsupported::UnsupportedPacks;

/// Stores the events of one queue.
pub(crate) struct EventConsumer {
    subscription: Subscription,
    policy: PoisonPolicy,
    isolated: IsolationQueue<Delivery>,
    batcher: Batcher,
    pipeline: StorePipeline,
    handler: Arc<BatchHandler>,
}

impl EventConsumer {
    pub(crate) fn new(
        sink: EventSink,
        unsupported: UnsupportedPacks,
        queue: &EventQueue,
        subscription: Subscription,
    ) -> Self {
        let policy = PoisonPolicy(queue.role);
        let pool = BatchPool::default();
        let parked = Parked::new(sink.publisher.clone(), unsupported, policy);
        Self {
            subscription,
            policy,
            isolated: IsolationQueue::new(),
            batcher: Batcher::new(queue.limits, queue.role, pool.clone()),
            pipeline: StorePipeline::new(queue.concurrency),
            handler: Arc::new(BatchHandler {
                sink,
                parked,
                pool,
                policy,
                yields_cpu: queue.yields_cpu,
            }),
        }
    }

    /// Stores what the subscription brings until it is to stop or cannot go on, then finishes the batches
    /// it has begun.
    pub(crate) async fn run(mut self) -> StopReason {
        let mut is_isolated_turn = false;
        let Unacked {
            reason,
            mut deliveries,
        } = loop {
            // In turn: under load there is always something else to do.
            is_isolated_turn = !is_isolated_turn;
            if let Err(unacked) = self.take_turn(is_isolated_turn).await {
                break unacked;
            }
        };
        let reason = self.pipeline.finish(reason, &mut deliveries).await;
        deliveries.extend(self.batcher.into_deliveries());
        deliveries.extend(self.isolated.into_all());
        deliveries.extend(self.handler.parked.release().await);
        unsubscribe(self.subscription, deliveries, &self.handler).await;
        reason
    }

    /// Handles an isolated message if it `is_isolated_turn` and one is due, else starts the next batch.
    async fn take_turn(&mut self, is_isolated_turn: bool) -> Result<(), Unacked> {
        if is_isolated_turn && let Some(delivery) = self.isolated.pop(Instant::now()) {
            return self.handle_alone(delivery).await;
        }
        match self.next_batch().await? {
            Some((batch, permit)) => {
                let handler = Arc::clone(&self.handler);
                self.pipeline
                    .start(async move { handler.store_and_ack(batch, permit).await });
                // A new task of this thread begins when this one lets it.
                tokio::task::yield_now().await;
            }
            None => {
                if let Some(delivery) = self.isolated.pop(Instant::now()) {
                    return self.handle_alone(delivery).await;
                }
            }
        }
        Ok(())
    }

    /// Waits for a batch until it may be stored. `None` when nothing arrives and an isolated message is due.
    ///
    /// A batch grows while those before it are stored, and takes along whatever else has arrived.
    async fn next_batch(&mut self) -> Result<Option<(Batch, StorePermit)>, Unacked> {
        while !self.handler.sink.stop.is_requested() {
            let now = Instant::now();
            if !self.batcher.is_full()
                && let Some(arrived) = self.subscription.try_next_ready()
            {
                self.accept(arrived?).await;
                continue;
            }
            let is_due = self.batcher.is_due(now);
            if is_due && let Some(permit) = self.pipeline.permit()? {
                return Ok(Some((self.batcher.take(now), permit)));
            }
            tokio::select! {
                biased;
                stored = self.pipeline.next(is_due) => stored?,
                () = self.handler.sink.stop.requested() => {}
                delivery = self.subscription.next(), if !self.batcher.is_full() => {
                    match delivery {
                        Some(delivery) => self.accept(delivery?).await,
                        None => return Err(ended(&self.subscription).into()),
                    }
                }
                () = self.batcher.until_due(), if !is_due => {}
                () = self.isolated.until_due(), if self.batcher.is_empty() => return Ok(None),
            }
        }
        Err(StopReason::Requested.into())
    }

    /// Puts a message where it belongs.
    async fn accept(&mut self, delivery: Delivery) {
        let sink = &self.handler.sink;
        if delivery.redelivered {
            sink.metrics.count_redelivery(&delivery.queue);
        }
        let returns = delivery.delivery_count;
        match self.policy.decide(Stage::Delivered, returns) {
            Action::Republish => self.handler.parked.republish(delivery),
            Action::Isolate => self.isolated.push(delivery, returns, Instant::now()),
            _ => {
                if let Err(unsupported) = self.batcher.add(delivery) {
                    self.handler.parked.park(unsupported);
                }
            }
        }
        // Reading hundreds of events takes long enough to let others have a turn.
        tokio::task::yield_now().await;
    }

    /// Handles a message once nothing else is being stored.
    async fn handle_alone(&mut self, delivery: Delivery) -> Result<(), Unacked> {
        if let Err(mut unacked) = self.pipeline.drain().await {
            unacked.deliveries.push(delivery);
            return Err(unacked);
        }
        self.handler.handle_alone(delivery).await
    }
}

fn ended(subscription: &Subscription) -> StopReason {
    let queue = subscription.queue();
    StopReason::Broker(format!("the subscription to {queue} ended"))
}

/// Cancels the subscription, then returns messages to their queue.
///
/// Most brokers count that as a failure, and drop what failed too often in a queue with nothing behind it.
/// There a message that came back before is published again instead, as long as the broker takes it.
async fn unsubscribe(
    subscription: Subscription,
    deliveries: Vec<Delivery>,
    handler: &BatchHandler,
) {
    // A session that is over has given everything back by itself.
    if subscription.cancel().await.is_err() {
        return;
    }
    let (publisher, mut republishes) = (&handler.sink.publisher, true);
    for delivery in deliveries {
        let returns = delivery.delivery_count;
        // Of a batch only the rows are kept. Its messages have no body to be published with.
        let is_whole = !delivery.body.is_empty();
        let action = handler.policy.decide(Stage::Unsubscribing, returns);
        let mut is_republished = false;
        if republishes && is_whole && action == Action::Republish {
            is_republished = publisher.publish_again(&delivery).await.is_ok();
            republishes = is_republished;
        }
        let done = match is_republished {
            true => delivery.ack().await,
            false => delivery.give_back().await,
        };
        if done.is_err() {
            break;
        }
    }
}
