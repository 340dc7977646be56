//! Storing events: from deliveries to rows, acknowledged after the commit.

mod alone;
mod batch;
mod full;
mod held;
mod intake;
mod letters;
mod newer;
mod pace;
mod pressure;
mod spares;
mod stalled;
mod storing;
mod suspects;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;
use std::time::Duration;

use adtally_broker::{Backoff, BrokerError, Delivery, Publisher, Subscription, ack_all};
use adtally_domain::{Event, ReportingZone};
use adtally_service::Shutdown;
use adtally_store::{EventBatch, Store};
use tokio::time::Instant;

use crate::metrics::Metrics;
use crate::session::End;
use batch::Batch;
pub(crate) use full::Full;
use held::{Held, is_worn};
use intake::Intake;
pub(crate) use letters::letter_of_message;
pub(crate) use newer::Notice;
use pressure::Pressure;
pub(crate) use spares::Spares;
pub(crate) use stalled::Stalled;
use storing::{Place, Storing};

/// How often a batch is tried before the worker lets go of its messages and waits for the database.
const QUICK_TRIES: u32 = 3;

/// Why messages could not be settled, and which. They are returned after the subscription is
/// cancelled.
type Unsettled = (End, Vec<Delivery>);

/// What is to be settled next.
enum Taken {
    /// Messages to store together, and their place among the batches that are stored.
    Batch(Batch, Place),
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
    /// What a batch takes at most.
    pub(crate) full: Full,
    /// A backlog of this queue leaves room for others ([`pressure`]).
    pub(crate) gives_way: bool,
    /// The wish to stop.
    pub(crate) stop: Shutdown,
    /// Memory of batches that are done with.
    pub(crate) spares: Spares,
}

impl EventConsumer {
    /// Stores what `subscription` brings until it is to stop or cannot go on, then finishes the batches
    /// it has begun.
    ///
    /// All other messages in hand go back to their queue once, after the subscription is cancelled:
    /// otherwise they would come straight back and count as failed each time.
    pub(crate) async fn run(self: Arc<Self>, mut subscription: Subscription) -> End {
        let held = Held::new(self.publisher.clone(), self.notice.clone());
        let mut intake = Intake::new(held, self.is_last, self.full);
        let mut storing = Storing::new(self.at_once);
        let mut suspects_turn = false;
        let (end, mut unsettled) = loop {
            // In turn: under load there is always something else to do.
            suspects_turn = !suspects_turn;
            let suspect = suspects_turn
                .then(|| intake.suspects.next(Instant::now()))
                .flatten();
            let taken = match suspect {
                Some(suspect) => Ok(Taken::Suspect(Box::new(suspect))),
                None => {
                    self.next(&mut subscription, &mut intake, &mut storing)
                        .await
                }
            };
            let settled = match taken {
                Ok(Taken::Batch(batch, place)) => {
                    let held = intake.held.clone();
                    storing.start(Arc::clone(&self).make_safe(batch, place, held));
                    // A new task of this thread begins when this one lets it.
                    tokio::task::yield_now().await;
                    Ok(())
                }
                Ok(Taken::Suspect(suspect)) => {
                    self.settle_alone(*suspect, &mut intake, &mut storing).await
                }
                Err(failure) => Err(failure),
            };
            if let Err(failure) = settled {
                break failure;
            }
        };
        let end = storing.finish(end, &mut unsettled).await;
        unsettled.extend(intake.into_deliveries().await);
        self.leave(subscription, unsettled).await;
        end
    }

    /// Waits for what is to be done next: a batch, once it may be stored, or a suspect while nothing
    /// arrives.
    ///
    /// A batch grows while those before it are stored, takes along whatever else has arrived, and is
    /// bounded by the prefetch too. A small one begins at once or, when another began just before, a
    /// little later; meanwhile the worker looks now and then whether it still is small ([`pace`]).
    async fn next(
        &self,
        subscription: &mut Subscription,
        intake: &mut Intake,
        storing: &mut Storing,
    ) -> Result<Taken, Unsettled> {
        while !self.stop.is_requested() {
            let now = Instant::now();
            if intake.looks(now)
                && let Some(arrived) = subscription.try_next_ready()
            {
                let delivery = arrived.map_err(|error| (over(&error), Vec::new()))?;
                self.take_in(delivery, intake).await;
                continue;
            }
            let is_due = intake.is_due(now);
            if is_due && let Some(place) = storing.place()? {
                let batch = intake.take(&self.spares, now);
                return Ok(Taken::Batch(batch, place));
            }
            let rests = intake.rests(now);
            tokio::select! {
                biased;
                stored = storing.next(is_due) => stored?,
                () = self.stop.requested() => {}
                delivery = next_delivery(subscription), if !rests && !intake.is_full() => match delivery {
                    Ok(delivery) => self.take_in(delivery, intake).await,
                    Err(end) => return Err((end, Vec::new())),
                },
                () = intake.rested(), if rests => {}
                () = intake.suspects.until_due(), if intake.is_empty() => {
                    if let Some(suspect) = intake.suspects.next(now) {
                        return Ok(Taken::Suspect(Box::new(suspect)));
                    }
                }
            }
        }
        Err((End::Stopped, Vec::new()))
    }

    async fn take_in(&self, delivery: Delivery, intake: &mut Intake) {
        if delivery.redelivered {
            self.metrics.count_redelivery(&delivery.queue);
        }
        intake.add(delivery);
        // Reading hundreds of events takes long enough to let others have a turn.
        tokio::task::yield_now().await;
    }

    /// Stores a batch, gives up its place, and acknowledges it; both a little later where a backlog leaves
    /// room for others, for what is acknowledged makes the broker send more.
    async fn make_safe(
        self: Arc<Self>,
        batch: Batch,
        place: Place,
        held: Held,
    ) -> Result<(), Unsettled> {
        let begin = Instant::now();
        let gives_way = self.gives_way && batch.is_full;
        let pressure = gives_way.then(|| Pressure::at(begin)).flatten();
        match self.store(&batch.content).await {
            Ok(unsent) => {
                // First, or whoever takes the place finds no memory to gather in.
                self.spares.put(batch.content);
                if let Some(before) = pressure {
                    self.rest(before.rest(Instant::now())).await;
                }
                drop(place);
                // The connection idles until the next batch begins.
                tokio::task::yield_now().await;
                self.settle(batch.deliveries, unsent, &held, begin).await
            }
            Err(end) => {
                place.forget();
                Err((end, batch.deliveries))
            }
        }
    }

    async fn rest(&self, rest: Duration) {
        if !rest.is_zero() {
            self.metrics.rest_seconds.observe(rest.as_secs_f64());
            self.stop.requested_within(rest).await;
        }
    }

    /// Acknowledges messages. Those with events that are `unsent` are held until the broker takes these:
    /// meanwhile others are stored.
    async fn settle(
        self: &Arc<Self>,
        deliveries: Vec<Delivery>,
        unsent: Vec<Event>,
        held: &Held,
        begin: Instant,
    ) -> Result<(), Unsettled> {
        if unsent.is_empty() {
            return self.acknowledge(deliveries, begin).await;
        }
        let consumer = Arc::clone(self);
        held.hold(|release| async move {
            let mut backoff = Backoff::default();
            while !consumer.put_off(&unsent).await {
                if release.requested_within(backoff.next_delay()).await {
                    return deliveries;
                }
            }
            if let Err((end, _)) = consumer.acknowledge(deliveries, begin).await {
                log::debug!("messages whose events were put off come twice: {end:?}");
            }
            Vec::new()
        });
        Ok(())
    }

    /// Acknowledges what is safe: from here on what is not acknowledged comes again and is known.
    async fn acknowledge(
        &self,
        deliveries: Vec<Delivery>,
        begin: Instant,
    ) -> Result<(), Unsettled> {
        let acked = ack_all(deliveries).await;
        acked.map_err(|error| (over(&error), Vec::new()))?;
        self.metrics
            .store_seconds
            .observe(begin.elapsed().as_secs_f64());
        Ok(())
    }

    /// Stores a batch and returns the events that are to be put off and that the broker does not take yet.
    async fn store(&self, batch: &Arc<EventBatch>) -> Result<Vec<Event>, End> {
        let mut backoff = Backoff::default();
        let mut tries_left = QUICK_TRIES;
        loop {
            match self.store.store_events(self.zone, batch.clone()).await {
                Ok(stored) => {
                    self.metrics.count(&stored);
                    let is_sent = self.put_off(&stored.put_off).await;
                    return Ok(if is_sent { Vec::new() } else { stored.put_off });
                }
                Err(error) => {
                    tries_left -= 1;
                    if tries_left == 0 || self.stop.is_requested() {
                        return Err(End::Database(error, Some(Stalled::new(batch.clone()))));
                    }
                    log::warn!("a batch is not stored yet: {error}; trying again");
                }
            }
            self.stop.requested_within(backoff.next_delay()).await;
        }
    }

    /// Sends events on a round through the broker, in which they wait for the partition of their day
    /// while others are stored. Whether the broker has all of them.
    async fn put_off(&self, events: &[Event]) -> bool {
        if events.is_empty() {
            return true;
        }
        match self.publisher.publish_pack_later(events).await {
            Ok(()) => {
                let count = events.len();
                self.metrics.put_off.inc_by(count as u64);
                log::warn!(
                    "{count} events wait: somebody holds a lock on the partition of their day"
                );
                true
            }
            Err(error) => {
                log::debug!("events are not put off yet: {error}");
                false
            }
        }
    }

    /// Returns messages to their queue once nothing comes from it any more.
    ///
    /// Most brokers count that as a failure, and drop what failed too often in a queue with nothing
    /// behind it. There, what came back before is sent again instead: no outage makes a suspect of it.
    async fn leave(&self, subscription: Subscription, unsettled: Vec<Delivery>) {
        // A session that is over has given everything back by itself.
        if subscription.cancel().await.is_err() {
            return;
        }
        let mut renews = self.is_last;
        for delivery in unsettled {
            let mut is_renewed = false;
            if renews && is_worn(&delivery) {
                is_renewed = self.publisher.publish_again(&delivery).await.is_ok();
                renews = is_renewed;
            }
            let settled = match is_renewed {
                true => delivery.ack().await,
                false => delivery.give_back().await,
            };
            if settled.is_err() {
                break;
            }
        }
    }
}

async fn next_delivery(subscription: &mut Subscription) -> Result<Delivery, End> {
    match subscription.next().await {
        Some(Ok(delivery)) => Ok(delivery),
        Some(Err(error)) => Err(over(&error)),
        None => Err(End::Broker(format!(
            "the subscription to {} ended",
            subscription.queue()
        ))),
    }
}

fn over(error: &BrokerError) -> End {
    End::Broker(error.to_string())
}
