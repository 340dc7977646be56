//! The messages that are stored in one transaction.

use std::sync::Arc;

use adtally_broker::pack::{self, PackError};
use adtally_broker::{Delivery, Subscription};
use adtally_store::EventBatch;
use tokio::time::Instant;

use super::letters::{letter_of_entry, letter_of_message};
use super::suspects::{Suspects, Suspicion, is_suspect, judge};

/// A batch is stored once it holds this many bytes of messages, some 20,000 events: each also costs
/// the database a commit and three small statements, however many events are in it.
pub(crate) const FULL_BYTES: usize = 4 * 1024 * 1024;

/// Deliveries of one queue and what is in them.
pub(super) struct Batch {
    pub(super) deliveries: Vec<Delivery>,
    pub(super) content: Arc<EventBatch>,
}

/// Bytes of a short event in a pack.
const ENTRY_BYTES: usize = 160;

/// Messages or bytes that are worth a transaction at any time.
const MANY: usize = 64;
const MUCH: usize = 256 * 1024;

/// Messages that will be a batch.
#[derive(Default)]
pub(super) struct Gathering {
    deliveries: Vec<Delivery>,
    bytes: usize,
}

impl Gathering {
    pub(super) fn is_empty(&self) -> bool {
        self.deliveries.is_empty()
    }

    /// Whether they are too few for a transaction of their own, if more may come soon.
    pub(super) fn is_small(&self) -> bool {
        self.deliveries.len() < MANY && self.bytes < MUCH
    }

    /// Adds a message, unless it is under suspicion: then it is left to `suspects`.
    pub(super) fn add(&mut self, delivery: Delivery, suspects: &mut Suspects<Delivery>) {
        if is_suspect(&delivery) {
            let returns = delivery.delivery_count;
            suspects.hold(delivery, returns, Instant::now());
        } else {
            self.bytes += delivery.body.len();
            self.deliveries.push(delivery);
        }
    }

    /// Adds what else has already arrived, without waiting for more: a batch is small when there is
    /// little to do, and grows by itself while the one before it is stored. The prefetch bounds it
    /// too.
    pub(super) fn fill(
        &mut self,
        subscription: &mut Subscription,
        suspects: &mut Suspects<Delivery>,
    ) {
        while self.bytes < FULL_BYTES {
            // An error is told again by the next call that waits.
            let Some(Ok(delivery)) = subscription.try_next_ready() else {
                break;
            };
            self.add(delivery, suspects);
        }
    }

    /// The messages, of which nothing is left here.
    pub(super) fn take(&mut self) -> Vec<Delivery> {
        self.bytes = 0;
        std::mem::take(&mut self.deliveries)
    }
}

/// [`Batch::read`] on a thread for blocking work: thousands of events take an async one too long.
pub(super) async fn read_apart(deliveries: Vec<Delivery>) -> (Batch, Vec<(Delivery, u64)>) {
    match tokio::task::spawn_blocking(|| Batch::read(deliveries)).await {
        Ok(read) => read,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The process is ending; with the session everything goes back to its queue.
        Err(_) => Batch::read(Vec::new()),
    }
}

impl Batch {
    /// Reads the messages. Packs of a newer version are handed back with it, unread.
    pub(super) fn read(deliveries: Vec<Delivery>) -> (Self, Vec<(Delivery, u64)>) {
        let (mut readable, mut newer) = (Vec::with_capacity(deliveries.len()), Vec::new());
        let mut content = EventBatch::default();
        let bytes: usize = deliveries.iter().map(|one| one.body.len()).sum();
        // A row is about two thirds of its JSON.
        content.reserve(bytes / ENTRY_BYTES, bytes / 4 * 3);
        // Only a message that is handled alone is ever sent again.
        let keeps_bodies = deliveries.len() == 1;
        for mut delivery in deliveries {
            let read = pack::read(&delivery.body, |entry| match entry {
                Ok(event) => content.push(&event),
                Err(bad) => content.dead_letters.push(letter_of_entry(&delivery, &bad)),
            });
            match read {
                Ok(()) => {}
                Err(PackError::NewerVersion(version)) => {
                    newer.push((delivery, version));
                    continue;
                }
                Err(error @ PackError::NotAPack(_)) => {
                    let letter = letter_of_message(&delivery, "not_a_pack", &error.to_string());
                    content.dead_letters.push(letter);
                }
            }
            if !keeps_bodies {
                delivery.body = Vec::new();
            }
            readable.push(delivery);
        }
        content.sort();
        let batch = Self {
            deliveries: readable,
            content: Arc::new(content),
        };
        (batch, newer)
    }

    /// What to do with the batch, by how often its only message came back.
    pub(super) fn suspicion(&self, is_last: bool) -> Suspicion {
        match self.deliveries.as_slice() {
            [delivery] => {
                let entries = self.content.len() + self.content.dead_letters.len();
                judge(delivery.delivery_count, entries, is_last)
            }
            _ => Suspicion::None,
        }
    }
}
