//! The messages that are stored in one transaction.

use adtally_broker::pack::{self, PackError};
use adtally_broker::{Delivery, Subscription};
use adtally_domain::Event;
use adtally_store::{EventBatch, NewDeadLetter};

use super::letters::{letter_of_entry, letter_of_message};
use super::suspects::is_suspect;

/// A batch is stored once it holds this many bytes of messages, some 20,000 events. More would
/// only take more memory: the cost of a commit is small by then.
const FULL_BYTES: usize = 4 * 1024 * 1024;
/// Or this many messages, when they are small.
const FULL_MESSAGES: usize = 5_000;

/// Deliveries of one queue in the order they came.
pub(super) struct Batch {
    pub(super) deliveries: Vec<Delivery>,
}

/// Messages that wait for a newer worker.
pub(super) struct Newer {
    /// A version that this build cannot read.
    pub(super) version: u64,
    pub(super) deliveries: Vec<Delivery>,
}

impl Batch {
    /// `first` and what else has already arrived, without waiting for more: a batch is small when
    /// there is little to do, and grows by itself while the one before it is stored.
    ///
    /// A message under suspicion is a batch of its own; one that turns up later is handed back.
    pub(super) fn collect(
        first: Delivery,
        subscription: &mut Subscription,
    ) -> (Self, Option<Delivery>) {
        let (mut bytes, alone) = (first.body.len(), is_suspect(&first));
        let mut batch = Self {
            deliveries: vec![first],
        };
        while !alone && bytes < FULL_BYTES && batch.deliveries.len() < FULL_MESSAGES {
            // An error is told again by the next call that waits.
            let Some(Ok(delivery)) = subscription.try_next_ready() else {
                break;
            };
            if is_suspect(&delivery) {
                return (batch, Some(delivery));
            }
            bytes += delivery.body.len();
            batch.deliveries.push(delivery);
        }
        (batch, None)
    }

    /// The events and dead letters in the messages, without those messages that only a newer build
    /// can read: their neighbours must not wait for it.
    pub(super) fn decode(&mut self) -> (EventBatch, Option<Newer>) {
        let mut batch = EventBatch::default();
        let (mut readable, mut newer) = (Vec::new(), Vec::new());
        let mut version = 0;
        for delivery in std::mem::take(&mut self.deliveries) {
            match pack::decode(&delivery.body) {
                Ok(entries) => {
                    for entry in entries {
                        match entry {
                            Ok(event) => batch.events.push(event),
                            Err(bad) => batch.dead_letters.push(letter_of_entry(&delivery, &bad)),
                        }
                    }
                }
                Err(PackError::NewerVersion(of)) => {
                    version = of;
                    newer.push(delivery);
                    continue;
                }
                Err(error @ PackError::NotAPack(_)) => {
                    let letter = letter_of_message(&delivery, "not_a_pack", &error.to_string());
                    batch.dead_letters.push(letter);
                }
            }
            readable.push(delivery);
        }
        self.deliveries = readable;
        let newer = (!newer.is_empty()).then_some(Newer {
            version,
            deliveries: newer,
        });
        (batch, newer)
    }

    /// The only pack's events in two halves, and the dead letters of its other entries; `None` when
    /// it cannot be read.
    pub(super) fn halves(&self) -> Option<([Vec<Event>; 2], Vec<NewDeadLetter>)> {
        let [delivery] = self.deliveries.as_slice() else {
            return None;
        };
        let (mut first, mut letters) = (Vec::new(), Vec::new());
        for entry in pack::decode(&delivery.body).ok()? {
            match entry {
                Ok(event) => first.push(event),
                Err(bad) => letters.push(letter_of_entry(delivery, &bad)),
            }
        }
        let second = first.split_off(first.len() / 2);
        Some(([first, second], letters))
    }
}
