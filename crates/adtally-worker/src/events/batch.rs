//! The messages that are stored in one transaction.

use std::sync::Arc;

use adtally_broker::pack::{self, PackError};
use adtally_broker::{Delivery, Subscription};
use adtally_store::EventBatch;
use tokio::time::Instant;

use super::letters::{letter_of_entry, letter_of_message};
use super::suspects::{Suspects, Suspicion, is_suspect, judge};

/// A batch is stored once it holds this many bytes of messages, some 10,000 events. More would
/// only take more memory: another batch is made and sent while this one is committed.
const FULL_BYTES: usize = 2 * 1024 * 1024;

/// Deliveries of one queue and what is in them.
pub(super) struct Batch {
    pub(super) deliveries: Vec<Delivery>,
    pub(super) content: Arc<EventBatch>,
}

/// `first` and what else has already arrived, without waiting for more: a batch is small when
/// there is little to do, and grows by itself while the one before it is stored. The prefetch
/// bounds it too. Messages under suspicion are left to `suspects`.
pub(super) fn collect(
    first: Delivery,
    subscription: &mut Subscription,
    suspects: &mut Suspects<Delivery>,
) -> Vec<Delivery> {
    let mut bytes = first.body.len();
    let mut deliveries = vec![first];
    while bytes < FULL_BYTES {
        // An error is told again by the next call that waits.
        let Some(Ok(delivery)) = subscription.try_next_ready() else {
            break;
        };
        if is_suspect(&delivery) {
            let returns = delivery.delivery_count;
            suspects.hold(delivery, returns, Instant::now());
        } else {
            bytes += delivery.body.len();
            deliveries.push(delivery);
        }
    }
    deliveries
}

/// [`Batch::read`] on a thread for blocking work: ten thousand events take an async one too long.
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
        for delivery in deliveries {
            match pack::decode(&delivery.body) {
                Ok(entries) => {
                    for entry in entries {
                        match entry {
                            Ok(event) => content.events.push(event),
                            Err(bad) => {
                                content.dead_letters.push(letter_of_entry(&delivery, &bad));
                            }
                        }
                    }
                }
                Err(PackError::NewerVersion(version)) => {
                    newer.push((delivery, version));
                    continue;
                }
                Err(error @ PackError::NotAPack(_)) => {
                    let letter = letter_of_message(&delivery, "not_a_pack", &error.to_string());
                    content.dead_letters.push(letter);
                }
            }
            readable.push(delivery);
        }
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
                let entries = self.content.events.len() + self.content.dead_letters.len();
                judge(delivery.delivery_count, entries, is_last)
            }
            _ => Suspicion::None,
        }
    }
}
