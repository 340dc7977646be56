//! Messages that are handled alone.

use std::sync::Arc;

use adtally_broker::{Delivery, NotKept};
use adtally_domain::Event;
use adtally_store::EventBatch;
use tokio::time::Instant;

use super::batch::Batch;
use super::handler::BatchHandler;
use super::poison::{Action, Stage};
use crate::dead_letters::letter_of_event;
use crate::stop_reason::{StopReason, Unacked};

impl BatchHandler {
    /// Handles a message while nothing else is in hand.
    pub(super) async fn handle_alone(&self, delivery: Delivery) -> Result<(), Unacked> {
        let (begin, returns) = (Instant::now(), delivery.delivery_count);
        let batch = match Batch::alone(delivery, &self.pool) {
            Ok(batch) => batch,
            Err(unsupported) => {
                self.parked.park(unsupported);
                return Ok(());
            }
        };
        let reason = match self.make_safe(&batch, returns).await {
            Ok(unsent) => {
                self.pool.put(batch.content);
                return self.ack_or_park(batch.deliveries, unsent, begin).await;
            }
            Err(reason) => reason,
        };
        if self.policy.decide(Stage::NotStored, returns) == Action::Republish {
            self.pool.put(batch.content);
            for delivery in batch.deliveries {
                self.parked.republish(delivery);
            }
            return Ok(());
        }
        Err(Unacked::new(reason, batch.deliveries))
    }

    /// Makes safe what is in a message that came back so often, but for the events that it returns: they are
    /// to be put off, and the broker does not take them yet.
    ///
    /// A broker whose disk is short, or whose queue is full, takes no messages until workers have
    /// taken some. So what it does not take is stored like anything else: an event that ends workers
    /// ends some more of them, until it can be told from the others.
    async fn make_safe(&self, batch: &Batch, returns: u64) -> Result<Vec<Event>, StopReason> {
        let entries = batch.entries();
        let mut action = self.policy.decide(Stage::Alone { entries }, returns);
        let is_published = match action {
            Action::Split => self.split(&batch.content).await?,
            Action::ToDeadQueue => self.publish_dead(&batch.deliveries).await,
            _ => false,
        };
        if is_published {
            return Ok(Vec::new());
        }
        if matches!(action, Action::Split | Action::ToDeadQueue) {
            action = self.policy.decide(Stage::NotPublished, returns);
        }
        match action {
            Action::ToDeadLetters => self.store_as_dead_letters(batch).await,
            _ => self.sink.store(&batch.content).await,
        }
    }

    /// Replaces a pack by its halves, to find out which event ends workers. Whether the broker has
    /// them.
    async fn split(&self, content: &EventBatch) -> Result<bool, StopReason> {
        if !content.dead_letters.is_empty() {
            let letters = EventBatch::new(&[], content.dead_letters.clone());
            self.sink.store(&Arc::new(letters)).await?;
        }
        let events: Vec<Event> = content.events().collect();
        let (first, second) = events.split_at(events.len() / 2);
        for half in [first, second] {
            if !is_taken(self.sink.publisher.publish_pack(half).await) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Publishes messages to the dead queue. Whether the broker has them.
    async fn publish_dead(&self, deliveries: &[Delivery]) -> bool {
        for delivery in deliveries {
            if !is_taken(self.sink.publisher.publish_dead(delivery).await) {
                return false;
            }
        }
        true
    }

    /// Keeps the events of a message as dead letters.
    async fn store_as_dead_letters(&self, batch: &Batch) -> Result<Vec<Event>, StopReason> {
        let mut letters = batch.content.dead_letters.clone();
        for delivery in &batch.deliveries {
            let events = batch.content.events();
            letters.extend(events.map(|event| letter_of_event(delivery, &event)));
        }
        let letters = EventBatch::new(&[], letters);
        self.sink.store(&Arc::new(letters)).await
    }
}

fn is_taken(published: Result<(), NotKept>) -> bool {
    if let Err(error) = published {
        log::debug!("an isolated message stays here: {error}");
        return false;
    }
    true
}
