//! Storing events: each once, with the marks of the hours they changed, in one transaction.

mod after_insert;
mod column_value;
pub(crate) mod columns;
mod copy;
mod copy_buffer;
mod existing;
mod insert_order;
mod limits;
mod pending_insert;
mod rejected;
mod transaction;

use std::collections::BTreeMap;
use std::sync::Arc;

use adtally_domain::{DeadLetterReason, Event, ReportingZone};

pub(crate) use transaction::Hints;

use crate::{NewDeadLetter, Store, StoreError};
use copy_buffer::CopyBuffer;

/// Events to store, and dead letters to keep in the same transaction.
///
/// An event becomes a row when it is added: nothing of it is copied again before it is sent.
#[derive(Debug, Clone, Default)]
pub struct EventBatch {
    rows: CopyBuffer,
    /// What came with them and could not be read.
    pub dead_letters: Vec<NewDeadLetter>,
}

impl EventBatch {
    /// A batch of `events`, in the order they arrived. Of events with one id the first wins.
    #[must_use]
    pub fn new(events: &[Event], dead_letters: Vec<NewDeadLetter>) -> Self {
        let mut batch = Self {
            rows: CopyBuffer::default(),
            dead_letters,
        };
        for event in events {
            batch.push(event);
        }
        batch
    }

    /// Adds an event that arrived after those in the batch.
    pub fn push<Text: AsRef<str>>(&mut self, event: &Event<Text>) {
        self.rows.push(event);
    }

    /// Takes out the events that were added last, beyond the first `count`. The batch must not have been
    /// sorted since.
    pub fn truncate(&mut self, count: usize) {
        self.rows.truncate(count);
    }

    /// Takes everything out and keeps the memory for another batch.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.dead_letters.clear();
    }

    /// Makes room for as many events as there are in `other`: growing step by step would leave holes in
    /// the memory. Dead letters are too few to matter.
    pub fn reserve_as_for(&mut self, other: &Self) {
        self.rows.reserve_as_for(&other.rows);
    }

    /// Puts the events into the order of their ids, in which they are stored. What this takes, storing
    /// them need not do while a connection waits.
    pub fn sort(&mut self) {
        self.rows.sort();
    }

    /// How many events there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no events.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.len() == 0
    }

    /// The events.
    pub fn events(&self) -> impl Iterator<Item = Event> {
        self.rows.iter().map(|row| row.event())
    }

    /// The event at a place; `None` past the last one.
    #[must_use]
    pub fn event(&self, index: usize) -> Option<Event> {
        self.rows.get(index).map(|row| row.event())
    }
}

/// What a batch came to. Every event of it is in `put_off` or in exactly one of the numbers but `conflicts`, which
/// repeats some of the `duplicates`, and `dead_letters`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stored {
    /// Impressions that are new in `events`.
    pub inserted_impressions: u64,
    /// Clicks that are new in `events`.
    pub inserted_clicks: u64,
    /// Events whose id was stored before, or came before in the batch.
    pub duplicates: u64,
    /// Those duplicates whose payload differs from the one that was there first, and stays.
    pub conflicts: u64,
    /// Events that became dead letters `too_old`, because the raw events of their hour are closed.
    pub too_old: u64,
    /// Events that became dead letters `in_future`, because their time is too far ahead.
    pub in_future: u64,
    /// Events that became dead letters `invalid_event`, because the table refuses what is in them.
    pub invalid: u64,
    /// Events that are not stored: somebody holds a lock on the partition of their day, or one that
    /// keeps it from being made. Give them again later; all the others are stored.
    pub put_off: Vec<Event>,
    /// How many dead letters of each reason are new, or new again after they had been requeued: those
    /// that came with the batch, and those its events became.
    pub dead_letters: BTreeMap<DeadLetterReason, u64>,
}

impl Stored {
    /// Events that are new in `events`.
    #[must_use]
    pub const fn inserted(&self) -> u64 {
        self.inserted_impressions + self.inserted_clicks
    }
}

impl Store {
    /// Stores a batch, all or nothing: when this returns `Ok`, it is committed and on disk, but for a few
    /// events that may be [put off](Stored::put_off).
    ///
    /// Events stored before are left as they are, so a batch can be given again, with other events
    /// and in another order, until it succeeds. Half an `Arc` to keep the batch for that.
    ///
    /// Dead letters of its events, also of those stored before, are `requeued` afterwards.
    ///
    /// # Errors
    /// Transient ones: nothing was stored, or (when the connection was lost) perhaps everything. And
    /// [`StoreError::ZoneMismatch`] when the database's zone was changed since `zone` was claimed.
    pub async fn store_events(
        &self,
        zone: ReportingZone,
        batch: impl Into<Arc<EventBatch>>,
    ) -> Result<Stored, StoreError> {
        let batch = batch.into();
        let store = self.clone();
        self.run(move |conn| transaction::store(conn, store.hints(), zone, &batch))
            .await
    }
}
