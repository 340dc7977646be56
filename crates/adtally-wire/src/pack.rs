//! Many events of one kind in one message: versioned JSON that also reads well in RabbitMQ's own UI.
//!
//! ```json
//! {"v":2,"kind":"click","fields":["event_id","ad_id","received_at"],"events":[["019a...",42,1795327200123]]}
//! ```
//! `fields` names the values of each entry; those that an entry does not reach are null, and unknown
//! ones are ignored, so a field may be added without a new version. `received_at` is in Unix milliseconds.
//! Anything an older worker must not overlook gets a new version, and older workers leave such packs
//! queued.
//!
//! In version 1 each entry is an object with names of its own, its kind among them, and `received_at` was
//! written in RFC 3339; either is read in both. It is still read: older builds wrote it, and an entry that
//! became a dead letter comes back in it. Names beside every value were half of a pack, which the broker
//! wrote, read and sent.

mod columns;
mod decode;
mod encode;
mod fast;
mod format;
mod ipv4;
#[cfg(test)]
mod tests;

use adtally_domain::Timestamp;
use thiserror::Error;
use uuid::Uuid;

pub use decode::{decode, read};
pub use encode::{append, bytes_of_all, bytes_of_events, encode, finish, join, of_entry, start};

/// The version this build writes, and the highest it reads.
pub const VERSION: u64 = 2;

/// The `type` property of a message that is a pack.
pub const MESSAGE_TYPE: &str = "adtally.pack";

/// Why a message is not a pack this build can read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PackError {
    /// A newer build wrote it. It must stay queued until a worker knows that version.
    #[error("the pack has version {0}, newer than {VERSION}, the highest this worker knows")]
    NewerVersion(u64),
    /// It is something else, and always will be.
    #[error("not a pack of events: {0}")]
    NotAPack(String),
}

/// One entry of a pack that is no event, with whatever could still be read of it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("entry {index} is no event: {reason}")]
pub struct BadEvent {
    /// Its place in the pack, from 0.
    pub index: usize,
    /// The entry's JSON as it was, with the names of its values when the pack has them elsewhere, and
    /// except that bytes that are not UTF-8 became U+FFFD.
    pub body: String,
    /// What is wrong with it.
    pub reason: String,
    /// Its event id, when it has one.
    pub event_id: Option<Uuid>,
    /// Its ad, when it names one.
    pub ad_id: Option<i64>,
    /// Its time, when its event id says one.
    pub occurred_at: Option<Timestamp>,
}
