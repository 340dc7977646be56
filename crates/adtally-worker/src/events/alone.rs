//! Messages under suspicion, each handled alone.

use std::sync::Arc;

use adtally_broker::{Delivery, NotKept};
use adtally_domain::Event;
use adtally_store::EventBatch;
use tokio::time::Instant;

use super::batch::Batch;
use super::intake::Intake;
use super::letters::letter_of_event;
use super::storing::Storing;
use super::suspects::{Suspicion, is_not_to_return, is_not_to_try, judge};
use super::{EventConsumer, Unsettled};
use crate::session::End;

impl EventConsumer {
    /// Settles a message under suspicion once nothing else is in hand.
    pub(super) async fn settle_alone(
        self: &Arc<Self>,
        suspect: Delivery,
        intake: &mut Intake,
        storing: &mut Storing,
    ) -> Result<(), Unsettled> {
        if let Err((end, mut unsettled)) = storing.all().await {
            unsettled.push(suspect);
            return Err((end, unsettled));
        }
        let (begin, returns) = (Instant::now(), suspect.delivery_count);
        let batch = match Batch::alone(suspect, &self.spares) {
            Ok(batch) => batch,
            Err(newer) => {
                intake.held.keep(newer);
                return Ok(());
            }
        };
        match self.clear(&batch, returns).await {
            Ok(unsent) => {
                self.spares.put(batch.content);
                let held = &intake.held;
                self.settle(batch.deliveries, unsent, held, begin).await
            }
            // That the database does not take it may be no fault of its own.
            Err(_) if is_not_to_return(returns, self.is_last) => {
                self.spares.put(batch.content);
                for delivery in batch.deliveries {
                    intake.held.renew(delivery);
                }
                Ok(())
            }
            Err(end) => Err((end, batch.deliveries)),
        }
    }

    /// Makes safe what is in a message that came back so often, but for the events that it returns: they are
    /// to be put off, and the broker does not take them yet.
    ///
    /// A broker whose disk is short, or whose queue is full, takes no messages until workers have
    /// taken some. So what it does not take is stored like anything else: an event that ends workers
    /// ends some more of them, until it can be told from the others.
    async fn clear(&self, batch: &Batch, returns: u64) -> Result<Vec<Event>, End> {
        let is_sent = match judge(returns, batch.entries(), self.is_last) {
            Suspicion::None => false,
            Suspicion::Split => self.split(&batch.content).await?,
            Suspicion::SetAside => self.set_aside(&batch.deliveries).await,
        };
        if is_sent {
            Ok(Vec::new())
        } else if is_not_to_try(returns, self.is_last) {
            self.bury(batch).await
        } else {
            self.store(&batch.content).await
        }
    }

    /// Replaces a pack by its halves, to find out which event ends workers. Whether the broker has
    /// them.
    async fn split(&self, content: &EventBatch) -> Result<bool, End> {
        if !content.dead_letters.is_empty() {
            let letters = EventBatch::new(&[], content.dead_letters.clone());
            self.store(&Arc::new(letters)).await?;
        }
        let events: Vec<Event> = content.events().collect();
        let (first, second) = events.split_at(events.len() / 2);
        for half in [first, second] {
            if !is_kept(self.publisher.publish_pack(half).await) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Sends messages to the dead queue. Whether the broker has them.
    async fn set_aside(&self, deliveries: &[Delivery]) -> bool {
        for delivery in deliveries {
            if !is_kept(self.publisher.publish_dead(delivery).await) {
                return false;
            }
        }
        true
    }

    /// Keeps the events of a message as dead letters.
    async fn bury(&self, batch: &Batch) -> Result<Vec<Event>, End> {
        let mut letters = batch.content.dead_letters.clone();
        for delivery in &batch.deliveries {
            let events = batch.content.events();
            letters.extend(events.map(|event| letter_of_event(delivery, &event)));
        }
        self.store(&Arc::new(EventBatch::new(&[], letters))).await
    }
}

fn is_kept(sent: Result<(), NotKept>) -> bool {
    if let Err(error) = sent {
        log::debug!("a suspect stays here: {error}");
    }
    sent.is_ok()
}
