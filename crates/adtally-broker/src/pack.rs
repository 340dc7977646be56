//! Many events in one message: versioned JSON that also reads well in RabbitMQ's own UI.
//!
//! ```json
//! {"v":1,"events":[{"event_id":"019a...","kind":"click","ad_id":42,"received_at":"..."}]}
//! ```
//! Unknown fields are ignored, so a field may be added without a new version. Anything an older
//! worker must not overlook gets a new version, and older workers leave such packs queued.

mod decode;
mod encode;
#[cfg(test)]
mod tests;
mod usual;
mod wire;

use adtally_domain::Timestamp;
use thiserror::Error;
use uuid::Uuid;

pub use decode::{decode, read};
pub(crate) use encode::{HEAD, ReceivedAt, append, finish};
pub use encode::{encode, of_entry};

/// The version this build writes, and the highest it reads.
pub const VERSION: u64 = 1;

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
    /// The entry's JSON as it was, except that bytes that are not UTF-8 became U+FFFD.
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
