//! Storing events: from deliveries to rows, acknowledged after the commit.

mod batch;
mod letters;
mod newer;
mod pace;
mod stalled;
mod storing;
mod suspects;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use adtally_broker::{Backoff, BrokerError, Delivery, NotKept, Publisher, Subscription, ack_all};
use adtally_domain::{Event, ReportingZone};
use adtally_service::Shutdown;
use adtally_store::{EventBatch, Store};
use tokio::time::Instant;

use crate::metrics::Metrics;
use crate::patience::insist;
use crate::session::End;
pub(crate) use batch::FULL_BYTES;
use batch::{Batch, Gathering, read_apart};
use letters::letter_of_event;
pub(crate) use letters::letter_of_message;
use newer::Held;
pub(crate) use newer::Notice;
use pace::Pace;
pub(crate) use stalled::Stalled;
use storing::Storing;
use suspects::{Suspects, Suspicion};

/// How often a batch is tried before the worker lets go of its messages and waits for the database.
const QUICK_TRIES: u32 = 3;

/// Why messages could not be settled, and which. They are returned after the subscription is
/// cancelled.
type Unsettled = (End, Vec<Delivery>);

/// What is to be settled next.
enum Taken {
    /// Messages to store together.
    Batch(Vec<Delivery>),
    /// A message to handle alone.
    Suspect(Box<Delivery>),
}

/// Stores the events of one queue.
pub(crate) struct EventConsumer {
    pub(crate) store: Store,
    pub(crate) publisher: Publisher,
    pub(crate) zone: ReportingZone,
    pub(crate) metrics: Metrics,
    pub(crate) notice: Notice,
    /// Nothing stands behind this queue: what is refused there is gone.
    pub(crate) is_last: bool,
    /// How many batches are stored at the same time.
    pub(crate) at_once: usize,
    /// The wish to stop.
    pub(crate) stop: Shutdown,
}

impl EventConsumer {
    /// Stores what `subscription` brings until it is to stop, then finishes what it has begun.
    ///
    /// On any other end, messages in hand go back to their queue once, after the subscription is
    /// cancelled: otherwise they would come straight back and count as failed each time.
    pub(crate) async fn run(self: Arc<Self>, mut subscription: Subscription) -> End {
        let mut held = Held::new(self.publisher.clone(), self.notice.clone());
        let mut suspects = Suspects::new();
        let mut storing = Storing::new(self.at_once);
        let mut pace = Pace::new(Instant::now());
        let mut gathering = Gathering::default();
        let mut suspects_turn = false;
        let (end, mut unsettled) = loop {
            // In turn: under load there is always something else to do.
            suspects_turn = !suspects_turn;
            let suspect = suspects_turn
                .then(|| suspects.next(Instant::now()))
                .flatten();
            let taken = match suspect {
                Some(suspect) => Ok(Taken::Suspect(Box::new(suspect))),
                None => tokio::select! {
                    biased;
                    failure = storing.failure() => break failure,
                    taken = self.next(&mut subscription, &mut suspects, &mut gathering, &mut pace) => {
                        taken
                    }
                },
            };
            let settled = match taken {
                Ok(Taken::Suspect(suspect)) => {
                    self.settle_alone(*suspect, &mut storing, &mut held).await
                }
                Ok(Taken::Batch(deliveries)) => {
                    self.settle(deliveries, &mut storing, &mut held).await
                }
                Err(end) => Err((end, Vec::new())),
            };
            if let Err(failure) = settled {
                break failure;
            }
        };
        unsettled.extend(gathering.take());
        let end = storing.finish(end, &mut unsettled).await;
        let held = held.release().await;
        let unsettled = unsettled.into_iter().chain(suspects.into_all());
        leave(subscription, unsettled.chain(held)).await;
        end
    }

    /// Waits for what is to be stored next: what arrives, or a suspect while nothing does. May be
    /// dropped: what has arrived stays in `gathering`.
    async fn next(
        &self,
        subscription: &mut Subscription,
        suspects: &mut Suspects<Delivery>,
        gathering: &mut Gathering,
        pace: &mut Pace,
    ) -> Result<Taken, End> {
        loop {
            let now = Instant::now();
            // Nothing stands behind the last queues, and little is ever in hand of them.
            let may_be_small = self.is_last || pace.is_due(now);
            if !gathering.is_empty() && (may_be_small || !gathering.is_small()) {
                gathering.fill(subscription, suspects);
                pace.began(gathering.is_small(), now);
                return Ok(Taken::Batch(gathering.take()));
            }
            tokio::select! {
                biased;
                delivery = self.next_delivery(subscription) => gathering.add(delivery?, suspects),
                () = pace.due(), if !gathering.is_empty() => {}
                () = suspects.until_due(), if gathering.is_empty() => {
                    if let Some(suspect) = suspects.next(now) {
                        return Ok(Taken::Suspect(Box::new(suspect)));
                    }
                }
            }
        }
    }

    async fn next_delivery(&self, subscription: &mut Subscription) -> Result<Delivery, End> {
        let delivery = tokio::select! {
            biased;
            () = self.stop.requested() => return Err(End::Stopped),
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

    /// Reads a batch and has it stored beside those that are being stored already. The next one is
    /// read meanwhile.
    async fn settle(
        self: &Arc<Self>,
        deliveries: Vec<Delivery>,
        storing: &mut Storing,
        held: &mut Held,
    ) -> Result<(), Unsettled> {
        let batch = self.read(deliveries, held).await;
        if let Err((end, mut unsettled)) = storing.room().await {
            unsettled.extend(batch.deliveries);
            return Err((end, unsettled));
        }
        if self.stop.is_requested() {
            return Err((End::Stopped, batch.deliveries));
        }
        storing.start(Arc::clone(self).make_safe(batch));
        Ok(())
    }

    /// Settles a message under suspicion once nothing else is in hand.
    async fn settle_alone(
        self: &Arc<Self>,
        suspect: Delivery,
        storing: &mut Storing,
        held: &mut Held,
    ) -> Result<(), Unsettled> {
        if let Err((end, mut unsettled)) = storing.all().await {
            unsettled.push(suspect);
            return Err((end, unsettled));
        }
        let batch = self.read(vec![suspect], held).await;
        Arc::clone(self).make_safe(batch).await
    }

    async fn read(&self, deliveries: Vec<Delivery>, held: &mut Held) -> Batch {
        for delivery in deliveries.iter().filter(|delivery| delivery.redelivered) {
            let redeliveries = &self.metrics.redeliveries;
            redeliveries.with_label_values(&[&*delivery.queue]).inc();
        }
        let (batch, newer) = read_apart(deliveries).await;
        for (delivery, version) in newer {
            held.keep(delivery, version);
        }
        batch
    }

    /// Stores a batch, or does what its suspicion asks for, and acknowledges it.
    async fn make_safe(self: Arc<Self>, batch: Batch) -> Result<(), Unsettled> {
        let begin = Instant::now();
        let made_safe = match batch.suspicion(self.is_last) {
            Suspicion::None => self.store(&batch.content).await,
            Suspicion::Split => self.split(&batch.content).await,
            Suspicion::SetAside => self.set_aside(&batch.deliveries).await,
            Suspicion::LastTry => match self.store(&batch.content).await {
                Err(_) => self.renew(&batch.deliveries).await,
                stored => stored,
            },
            Suspicion::Bury => match self.bury(&batch).await {
                Err(_) => self.renew(&batch.deliveries).await,
                buried => buried,
            },
        };
        if let Err(end) = made_safe {
            return Err((end, batch.deliveries));
        }
        // From here on the events are safe: what is not acknowledged comes again and is known.
        let acked = ack_all(batch.deliveries).await;
        acked.map_err(|error| (over(&error), Vec::new()))?;
        self.metrics
            .store_seconds
            .observe(begin.elapsed().as_secs_f64());
        Ok(())
    }

    async fn store(&self, batch: &Arc<EventBatch>) -> Result<(), End> {
        let mut backoff = Backoff::default();
        let mut tries_left = QUICK_TRIES;
        loop {
            tries_left -= 1;
            match self.store.store_events(self.zone, batch.clone()).await {
                Ok(stored) => {
                    self.metrics.count(&stored);
                    return Ok(());
                }
                Err(error) if tries_left == 0 || self.stop.is_requested() => {
                    return Err(End::Database(error, Some(Stalled::new(batch.clone()))));
                }
                Err(error) => log::warn!("a batch is not stored yet: {error}; trying again"),
            }
            self.stop.requested_within(backoff.next_delay()).await;
        }
    }

    /// Replaces the one pack of a batch by its halves, to find out which event ends workers.
    async fn split(&self, content: &EventBatch) -> Result<(), End> {
        if !content.dead_letters.is_empty() {
            let letters = EventBatch::new(&[], content.dead_letters.clone());
            self.store(&Arc::new(letters)).await?;
        }
        let events: Vec<Event> = content.events().collect();
        let (first, second) = events.split_at(events.len() / 2);
        for half in [first, second] {
            let sent = insist(&self.stop, || self.publisher.publish_pack(half)).await;
            sent.map_err(|error| not_kept(&error))?;
        }
        Ok(())
    }

    async fn set_aside(&self, deliveries: &[Delivery]) -> Result<(), End> {
        for delivery in deliveries {
            let sent = insist(&self.stop, || self.publisher.publish_dead(delivery)).await;
            sent.map_err(|error| not_kept(&error))?;
        }
        Ok(())
    }

    /// Sends messages again as if they had never come back: the database does not take what is in
    /// them, which may be no fault of theirs, and once more the broker might drop them.
    async fn renew(&self, deliveries: &[Delivery]) -> Result<(), End> {
        for delivery in deliveries {
            let sent = insist(&self.stop, || self.publisher.publish_again(delivery)).await;
            sent.map_err(|error| not_kept(&error))?;
        }
        Ok(())
    }

    /// Keeps the one event of a batch as a dead letter.
    async fn bury(&self, batch: &Batch) -> Result<(), End> {
        let of_events = batch
            .deliveries
            .iter()
            .zip(batch.content.events())
            .map(|(delivery, event)| letter_of_event(delivery, &event));
        let letters = batch.content.dead_letters.iter().cloned();
        let letters = EventBatch::new(&[], letters.chain(of_events).collect());
        self.store(&Arc::new(letters)).await
    }
}

async fn leave(subscription: Subscription, unsettled: impl IntoIterator<Item = Delivery>) {
    // A session that is over has given everything back by itself.
    if subscription.cancel().await.is_ok() {
        for delivery in unsettled {
            if delivery.give_back().await.is_err() {
                break;
            }
        }
    }
}

fn over(error: &BrokerError) -> End {
    End::Broker(error.to_string())
}

fn not_kept(error: &NotKept) -> End {
    End::Broker(format!("a message cannot be sent: {error}"))
}
