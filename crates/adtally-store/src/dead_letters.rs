//! Dead letters: what could not be processed, kept with the reason.

mod row;

use adtally_domain::{AdId, Event, EventId, Timestamp, event_dead_letter_id};
use diesel::prelude::*;
use serde_json::{Map, Value};
use uuid::Uuid;

pub(crate) use row::{counts, insert};

use crate::schema::dead_letters::dsl;
use crate::{Store, StoreError};
use row::Row;

/// A dead letter to keep.
#[derive(Debug, Clone, PartialEq)]
pub struct NewDeadLetter {
    /// Derived from the message, so that a redelivery adds nothing.
    pub id: Uuid,
    /// Where it was found: a queue, or `store`.
    pub source: String,
    /// The stable name of the reason.
    pub reason: String,
    /// The reason in words.
    pub detail: String,
    /// The event or message, byte for byte.
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
    pub fn of_event(event: &Event, reason: &str, detail: impl Into<String>) -> Self {
        Self {
            id: event_dead_letter_id(&event.id.to_string(), 0),
            source: "store".to_owned(),
            reason: reason.to_owned(),
            detail: detail.into(),
            body: event_body(event),
            headers: Value::Object(Map::new()),
            event_id: Some(event.id),
            ad_id: Some(event.ad_id),
            occurred_at: Some(event.occurred_at()),
        }
    }
}

/// The event as it stands in a pack, so that it can be put into one again.
fn event_body(event: &Event) -> Vec<u8> {
    let mut fields = Map::new();
    let mut put = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            fields.insert(name.to_owned(), Value::String(value));
        }
    };
    put("event_id", Some(event.id.to_string()));
    put("kind", Some(event.kind.to_string()));
    put("received_at", Some(event.received_at.to_string()));
    put(
        "impression_id",
        event.impression_id.map(|id| id.to_string()),
    );
    put("ip", event.ip.map(|ip| ip.to_string()));
    put("visitor_id", event.visitor_id.clone());
    put("user_agent", event.user_agent.clone());
    put("referer", event.referer.clone());
    put("placement", event.placement.clone());
    put("source", event.source.clone());
    fields.insert("ad_id".to_owned(), event.ad_id.get().into());
    Value::Object(fields).to_string().into_bytes()
}

/// What is to become of a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeadLetterState {
    /// Nobody has decided yet.
    New,
    /// It was put back on its queue.
    Requeued,
    /// An operator gave it up.
    Discarded,
}

impl DeadLetterState {
    const ALL: [Self; 3] = [Self::New, Self::Requeued, Self::Discarded];

    /// The state's name in the table: `new`, `requeued` or `discarded`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Requeued => "requeued",
            Self::Discarded => "discarded",
        }
    }

    fn named(name: &str) -> Self {
        // The table allows no other name.
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == name)
            .unwrap_or(Self::New)
    }
}

/// A dead letter as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadLetter {
    /// What was kept.
    pub letter: NewDeadLetter,
    /// When it was first found.
    pub first_seen: Timestamp,
    /// When it was last put back on its queue.
    pub requeued_at: Option<Timestamp>,
    /// What is to become of it.
    pub state: DeadLetterState,
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
    /// requeued. One that is kept already stays as it is.
    ///
    /// # Errors
    /// The transient ones.
    pub async fn insert_dead_letters(
        &self,
        letters: Vec<NewDeadLetter>,
    ) -> Result<u64, StoreError> {
        self.run(move |conn| Ok(conn.transaction(|conn| insert(conn, letters.iter()))?))
            .await
    }

    /// At most `limit` dead letters in `state`, oldest first.
    ///
    /// # Errors
    /// The transient ones.
    pub async fn dead_letters(
        &self,
        state: DeadLetterState,
        limit: u32,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        self.run(move |conn| {
            let rows: Vec<Row> = dsl::dead_letters
                .filter(dsl::state.eq(state.as_str()))
                .order((dsl::first_seen, dsl::id))
                .limit(i64::from(limit))
                .select(Row::as_select())
                .load(conn)?;
            Ok(rows.into_iter().map(DeadLetter::from).collect())
        })
        .await
    }

    /// Dead letters by reason and state.
    ///
    /// # Errors
    /// The transient ones.
    pub async fn dead_letter_counts(&self) -> Result<Vec<DeadLetterCount>, StoreError> {
        self.run(|conn| Ok(counts(conn)?)).await
    }

    /// Sets the state of the dead letter `id`, and the time it was requeued when that is the state;
    /// false when there is none.
    ///
    /// # Errors
    /// The transient ones.
    pub async fn set_dead_letter_state(
        &self,
        id: Uuid,
        state: DeadLetterState,
    ) -> Result<bool, StoreError> {
        self.run(move |conn| {
            let letter = diesel::update(dsl::dead_letters.find(id));
            let rows = if state == DeadLetterState::Requeued {
                let requeued_at = diesel::dsl::now;
                letter
                    .set((
                        dsl::state.eq(state.as_str()),
                        dsl::requeued_at.eq(requeued_at),
                    ))
                    .execute(conn)?
            } else {
                letter.set(dsl::state.eq(state.as_str())).execute(conn)?
            };
            Ok(rows > 0)
        })
        .await
    }
}
