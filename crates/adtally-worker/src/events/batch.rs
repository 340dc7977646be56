//! The messages that are stored in one transaction.

use std::sync::Arc;

use adtally_broker::Delivery;
use adtally_domain::DeadLetterReason;
use adtally_store::EventBatch;
use adtally_wire::pack::{self, PackError};

use super::pool::BatchPool;
use super::unsupported::UnsupportedPack;
use crate::dead_letters::{Origin, letter_of_message};

/// Deliveries of one queue and what is in them.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) deliveries: Vec<Delivery>,
    pub(super) content: Arc<EventBatch>,
    /// Its limits were reached: there is a backlog.
    pub(super) is_full: bool,
}

impl Batch {
    /// A message that is handled alone, with its body: it may have to be sent again.
    ///
    /// # Errors
    /// A pack of a newer version, unread.
    pub(super) fn alone(delivery: Delivery, pool: &BatchPool) -> Result<Self, UnsupportedPack> {
        let mut content = pool.take();
        if let Err(version) = read(&delivery, &mut content) {
            pool.put(Arc::new(content));
            return Err(UnsupportedPack::new(delivery, version));
        }
        content.sort();
        Ok(Self {
            deliveries: vec![delivery],
            content: Arc::new(content),
            is_full: false,
        })
    }

    /// How many events and other entries there are.
    pub(super) fn entries(&self) -> usize {
        self.content.len() + self.content.dead_letters.len()
    }
}

/// A batch that still grows. Messages are read as they come, and only their rows are kept.
#[derive(Debug, Default)]
pub(super) struct BatchBuilder {
    pub(super) deliveries: Vec<Delivery>,
    /// Bytes of the messages, as they came.
    pub(super) bytes: usize,
    content: EventBatch,
    is_sorted: bool,
}

impl BatchBuilder {
    /// Adds a message.
    ///
    /// # Errors
    /// A pack of a newer version, unread and not added.
    pub(super) fn add(&mut self, mut delivery: Delivery) -> Result<(), UnsupportedPack> {
        self.is_sorted = false;
        if let Err(version) = read(&delivery, &mut self.content) {
            return Err(UnsupportedPack::new(delivery, version));
        }
        self.bytes += std::mem::take(&mut delivery.body).len();
        self.deliveries.push(delivery);
        Ok(())
    }

    /// The batch, of which nothing is left here. The next one is built in memory from the pool.
    pub(super) fn take(&mut self, pool: &BatchPool) -> Batch {
        let mut next = pool.take();
        next.reserve_as_for(&self.content);
        self.sort();
        let built = std::mem::take(self);
        self.content = next;
        Batch {
            deliveries: built.deliveries,
            content: Arc::new(built.content),
            is_full: false,
        }
    }

    /// Puts the events into the order in which they are stored, unless they are in it already.
    pub(super) fn sort(&mut self) {
        if !std::mem::replace(&mut self.is_sorted, true) {
            self.content.sort();
        }
    }
}

/// Adds what is in a message to `content`.
///
/// # Errors
/// The version of a newer pack, of which nothing was read.
fn read(delivery: &Delivery, content: &mut EventBatch) -> Result<(), u64> {
    let before = content.len();
    let mut origin = None;
    let read = pack::read(&delivery.body, |entry| match entry {
        Ok(event) => content.push(event),
        Err(bad) => {
            let origin = origin.get_or_insert_with(|| Origin::of(delivery));
            content.dead_letters.push(origin.letter_of(bad));
        }
    });
    if read.is_err() {
        content.truncate(before);
    }
    match read {
        Ok(()) => Ok(()),
        Err(PackError::NewerVersion(version)) => Err(version),
        Err(error @ PackError::NotAPack(_)) => {
            let letter =
                letter_of_message(delivery, DeadLetterReason::NotAPack, &error.to_string());
            content.dead_letters.push(letter);
            Ok(())
        }
    }
}
