//! The messages that are stored in one transaction.

use std::sync::Arc;

use adtally_broker::Delivery;
use adtally_store::EventBatch;
use adtally_wire::pack::{self, PackError};

use super::letters::{Origin, letter_of_message};
use super::newer::NewerPack;
use super::spares::Spares;

/// Messages or bytes that are worth a transaction at any time.
pub(super) const MANY: usize = 32;
const MUCH: usize = 1024 * 1024;

/// Deliveries of one queue and what is in them.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) deliveries: Vec<Delivery>,
    pub(super) content: Arc<EventBatch>,
    /// It took no more: there is a backlog.
    pub(super) is_full: bool,
}

impl Batch {
    /// A message that is handled alone, with its body: it may have to be sent again.
    ///
    /// # Errors
    /// A pack of a newer version, unread.
    pub(super) fn alone(delivery: Delivery, spares: &Spares) -> Result<Self, NewerPack> {
        let mut content = spares.take();
        if let Err(version) = read(&delivery, &mut content) {
            spares.put(Arc::new(content));
            return Err(NewerPack::new(delivery, version));
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

/// Messages that will be a batch. They are read as they come, and their rows are all that is kept of
/// them.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    deliveries: Vec<Delivery>,
    content: EventBatch,
    bytes: usize,
    is_sorted: bool,
}

impl Gathering {
    pub(super) fn is_empty(&self) -> bool {
        self.deliveries.is_empty()
    }

    /// Whether they are too few for a transaction of their own, if more may come soon.
    pub(super) fn is_small(&self) -> bool {
        self.deliveries.len() < MANY && self.bytes < MUCH
    }

    /// How many messages there are.
    pub(super) fn messages(&self) -> usize {
        self.deliveries.len()
    }

    /// Bytes of the messages, as they came.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a message.
    ///
    /// # Errors
    /// A pack of a newer version, unread and not added.
    pub(super) fn add(&mut self, mut delivery: Delivery) -> Result<(), NewerPack> {
        self.is_sorted = false;
        if let Err(version) = read(&delivery, &mut self.content) {
            return Err(NewerPack::new(delivery, version));
        }
        self.bytes += std::mem::take(&mut delivery.body).len();
        self.deliveries.push(delivery);
        Ok(())
    }

    /// The batch, of which nothing is left here. The next one is gathered in the memory of a spare one.
    pub(super) fn take(&mut self, spares: &Spares) -> Batch {
        self.bytes = 0;
        let mut next = spares.take();
        next.reserve_as_for(&self.content);
        self.sort();
        self.is_sorted = false;
        let content = std::mem::replace(&mut self.content, next);
        Batch {
            deliveries: std::mem::take(&mut self.deliveries),
            content: Arc::new(content),
            is_full: false,
        }
    }

    /// Puts the events into the order in which they are stored, unless they are in it already.
    pub(super) fn sort(&mut self) {
        if !std::mem::replace(&mut self.is_sorted, true) {
            self.content.sort();
        }
    }

    /// Messages that will not be stored.
    pub(super) fn into_deliveries(self) -> Vec<Delivery> {
        self.deliveries
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
            let letter = letter_of_message(delivery, "not_a_pack", &error.to_string());
            content.dead_letters.push(letter);
            Ok(())
        }
    }
}
