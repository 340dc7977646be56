//! Dead letters: what could not be processed, kept with the reason.
//!
//! | state | set by | next |
//! |---|---|---|
//! | `new` | a worker that cannot process it | `requeued`, `discarded` |
//! | `requeued` | [`Store::requeue_dead_letters`], or [`Store::store_events`] of its event | `new`, should it fail again |
//! | `discarded` | [`Store::discard_dead_letters`] | `requeued` |

mod discard;
mod list;
mod purge;
mod requeue;
mod resolve;
mod row;

use adtally_domain::{AdId, DeadLetterReason, Event, EventId, Timestamp, event_dead_letter_id};
use diesel::prelude::*;
use serde_json::{Map, Value};
use uuid::Uuid;

pub use discard::Discarded;
pub(crate) use list::counts;
pub use list::{
    DeadLetterBatch, DeadLetterCursor, DeadLetterFilter, DeadLetterPage, DeadLetterSummary,
};
pub use requeue::Requeued;
pub(crate) use resolve::resolve;
pub(crate) use row::{insert, insert_from_events};

use crate::events::columns::to_json;
use crate::schema::dead_letters::dsl;
use crate::{Store, StoreError};
use row::Row;

/// A dead letter to keep.
///
/// In one that was read, `Reason` is a text: another build may have known more reasons.
#[derive(Debug, Clone, PartialEq)]
pub struct NewDeadLetter<Reason = DeadLetterReason> {
    /// Derived from the message, so that a redelivery adds nothing.
    pub id: Uuid,
    /// Where it was found: a queue, or `store`.
    pub source: String,
    /// Why it is one.
    pub reason: Reason,
    /// The reason in words.
    pub detail: String,
    /// The message, byte for byte, or the entry of its event, with names.
    pub body: Vec<u8>,
    /// The message's headers, an object.
    pub headers: Value,
    /// The event's id, when it could be read.
    pub event_id: Option<EventId>,
    /// The event's ad, when it could be read.
    pub ad_id: Option<AdId>,
    /// The event's time, when it could be read.
    pub occurred_at: Option<Timestamp>,
}

impl NewDeadLetter {
    /// A dead letter of an event that could be read but not stored. The body is the event's JSON.
    #[must_use]
    pub fn of_event(event: &Event, reason: DeadLetterReason, detail: impl Into<String>) -> Self {
        Self {
            id: event_dead_letter_id(&event.id.to_string(), 0),
            source: "store".to_owned(),
            reason,
            detail: detail.into(),
            body: Value::Object(to_json(event)).to_string().into_bytes(),
            headers: Value::Object(Map::new()),
            event_id: Some(event.id),
            ad_id: Some(event.ad_id),
            occurred_at: Some(event.occurred_at()),
        }
    }
}

/// What is to become of a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeadLetterState {
    /// Nobody has decided yet.
    New,
    /// It was put back on its queue, or its event came some other way and is stored.
    Requeued,
    /// An operator gave it up.
    Discarded,
}

impl DeadLetterState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::New, Self::Requeued, Self::Discarded];

    /// The state's name in the table: `new`, `requeued` or `discarded`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Requeued => "requeued",
            Self::Discarded => "discarded",
        }
    }

    /// The state named `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    fn stored(name: &str) -> Self {
        // The table allows no other name.
        Self::named(name).unwrap_or(Self::New)
    }
}

/// A dead letter as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadLetter {
    /// What was kept.
    pub letter: NewDeadLetter<String>,
    /// When it was first found.
    pub first_seen: Timestamp,
    /// When it was last put back on its queue.
    pub requeued_at: Option<Timestamp>,
    /// What is to become of it.
    pub state: DeadLetterState,
}

impl DeadLetter {
    /// Whether the body is one entry of a pack, not a whole message.
    #[must_use]
    pub fn is_event(&self) -> bool {
        DeadLetterReason::named(&self.letter.reason).is_some_and(DeadLetterReason::holds_event)
    }
}

/// How many dead letters there are of one reason in one state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterCount {
    /// The stable name of the reason.
    pub reason: String,
    /// The state.
    pub state: DeadLetterState,
    /// How many.
    pub count: u64,
}

impl Store {
    /// Keeps dead letters and says how many of them are new, or new again after they had been
    /// requeued. One that is new or discarded already stays as it is.
    ///
    /// # Errors
    /// The transient ones.
    pub async fn insert_dead_letters(
        &self,
        letters: Vec<NewDeadLetter>,
    ) -> Result<u64, StoreError> {
        self.run(move |conn| {
            let new = conn.transaction(|conn| insert(conn, letters.iter()))?;
            Ok(new.into_values().sum())
        })
        .await
    }

    /// The dead letter `id`, when there is one.
    ///
    /// # Errors
    /// The transient ones.
    pub async fn dead_letter(&self, id: Uuid) -> Result<Option<DeadLetter>, StoreError> {
        self.run(move |conn| {
            let row: Option<Row> = dsl::dead_letters
                .find(id)
                .select(Row::as_select())
                .first(conn)
                .optional()?;
            Ok(row.map(DeadLetter::from))
        })
        .await
    }
}
