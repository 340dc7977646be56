//! Looking through dead letters, without their bodies, which may be large.

use adtally_domain::{AdId, EventId, Timestamp};
use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::pg::{Pg, PgConnection};
use diesel::prelude::*;
use diesel::sql_types::Integer;
use uuid::Uuid;

use super::{DeadLetterCount, DeadLetterState};
use crate::schema::dead_letters::{self, dsl};
use crate::{Store, StoreError, times};

/// Which dead letters are meant: those that everything given applies to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadLetterFilter {
    /// One of these.
    pub ids: Option<Vec<Uuid>>,
    /// The stable name of the reason.
    pub reason: Option<String>,
    /// The ad of the event.
    pub ad_id: Option<AdId>,
    /// First seen at this time or later.
    pub from: Option<Timestamp>,
    /// First seen before this time.
    pub to: Option<Timestamp>,
    /// The state.
    pub state: Option<DeadLetterState>,
}

/// A place in the order in which dead letters were first seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeadLetterCursor {
    first_seen: DateTime<Utc>,
    id: Uuid,
}

impl DeadLetterCursor {
    /// Reads what `Display` wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (micros, id) = text.split_once('.')?;
        let first_seen = DateTime::from_timestamp_micros(micros.parse().ok()?)?;
        // PostgreSQL's times end before chrono's begin, and no letter is of such a time.
        Timestamp::try_from(first_seen).ok()?;
        Some(Self {
            first_seen,
            id: Uuid::try_parse(id).ok()?,
        })
    }
}

impl std::fmt::Display for DeadLetterCursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.first_seen.timestamp_micros(), self.id)
    }
}

/// A dead letter without its body and headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterSummary {
    /// Its id.
    pub id: Uuid,
    /// Where it was found: a queue, or `store`.
    pub source: String,
    /// The stable name of the reason.
    pub reason: String,
    /// The reason in words.
    pub detail: String,
    /// The event's id, when it could be read.
    pub event_id: Option<EventId>,
    /// The event's ad, when it could be read.
    pub ad_id: Option<AdId>,
    /// The event's time, when it could be read.
    pub occurred_at: Option<Timestamp>,
    /// When it was first found.
    pub first_seen: Timestamp,
    /// When it was last put back on its queue.
    pub requeued_at: Option<Timestamp>,
    /// What is to become of it.
    pub state: DeadLetterState,
    /// Bytes of its body.
    pub body_bytes: u64,
}

/// Some dead letters of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterPage {
    /// The letters, newest first.
    pub letters: Vec<DeadLetterSummary>,
    /// Where the next page begins; `None` when this is the last.
    pub next: Option<DeadLetterCursor>,
}

/// Some dead letters to do something with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterBatch {
    /// Their ids, oldest first.
    pub ids: Vec<Uuid>,
    /// Where the next batch begins; `None` when there are no more.
    pub next: Option<DeadLetterCursor>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = dead_letters)]
struct Head {
    id: Uuid,
    source: String,
    reason: String,
    detail: String,
    event_id: Option<Uuid>,
    ad_id: Option<i64>,
    occurred_at: Option<DateTime<Utc>>,
    first_seen: DateTime<Utc>,
    requeued_at: Option<DateTime<Utc>>,
    state: String,
}

impl Store {
    /// At most `limit` of the dead letters that `filter` means, newest first, behind `after`.
    ///
    /// # Errors
    /// The transient ones.
    pub async fn dead_letters(
        &self,
        filter: DeadLetterFilter,
        after: Option<DeadLetterCursor>,
        limit: u32,
    ) -> Result<DeadLetterPage, StoreError> {
        self.run(move |conn| Ok(page(conn, &filter, after, limit)?))
            .await
    }

    /// The next of the dead letters that `filter` means, oldest first, behind `after`: at most
    /// `limit`, and fewer when together they hold more than `bytes`. A letter that changes
    /// meanwhile keeps its place, so going from batch to batch comes to an end.
    ///
    /// # Errors
    /// The transient ones.
    pub async fn dead_letter_batch(
        &self,
        filter: DeadLetterFilter,
        after: Option<DeadLetterCursor>,
        limit: u32,
        bytes: u64,
    ) -> Result<DeadLetterBatch, StoreError> {
        self.run(move |conn| Ok(batch(conn, &filter, after, limit, bytes)?))
            .await
    }

    /// The dead letters that `filter` means, counted by reason and state.
    ///
    /// # Errors
    /// The transient ones.
    pub async fn dead_letter_counts(
        &self,
        filter: DeadLetterFilter,
    ) -> Result<Vec<DeadLetterCount>, StoreError> {
        self.run(move |conn| Ok(counts(conn, &filter)?)).await
    }

    /// How many of the dead letters that `filter` means are behind `after`, in the order of
    /// [`Store::dead_letter_batch`].
    ///
    /// # Errors
    /// The transient ones.
    pub async fn dead_letters_left(
        &self,
        filter: DeadLetterFilter,
        after: Option<DeadLetterCursor>,
    ) -> Result<u64, StoreError> {
        self.run(move |conn| {
            let mut left = matching(&filter);
            if let Some(DeadLetterCursor { first_seen, id }) = after {
                let later = dsl::first_seen.eq(first_seen).and(dsl::id.gt(id));
                left = left.filter(dsl::first_seen.gt(first_seen).or(later));
            }
            let left: i64 = left.select(diesel::dsl::count_star()).first(conn)?;
            Ok(u64::try_from(left).unwrap_or(0))
        })
        .await
    }
}

pub(super) type Matching<'a> = dead_letters::BoxedQuery<'a, Pg>;

pub(super) fn matching(filter: &DeadLetterFilter) -> Matching<'_> {
    let mut query = dsl::dead_letters.into_boxed();
    if let Some(ids) = &filter.ids {
        query = query.filter(dsl::id.eq_any(ids));
    }
    if let Some(reason) = &filter.reason {
        query = query.filter(dsl::reason.eq(reason));
    }
    if let Some(ad) = filter.ad_id {
        query = query.filter(dsl::ad_id.eq(ad.get()));
    }
    if let Some(from) = filter.from {
        query = query.filter(dsl::first_seen.ge(from.to_datetime()));
    }
    if let Some(to) = filter.to {
        query = query.filter(dsl::first_seen.lt(to.to_datetime()));
    }
    if let Some(state) = filter.state {
        query = query.filter(dsl::state.eq(state.as_str()));
    }
    query
}

fn page(
    conn: &mut PgConnection,
    filter: &DeadLetterFilter,
    after: Option<DeadLetterCursor>,
    limit: u32,
) -> QueryResult<DeadLetterPage> {
    let mut query = matching(filter);
    if let Some(DeadLetterCursor { first_seen, id }) = after {
        let earlier = dsl::first_seen.eq(first_seen).and(dsl::id.lt(id));
        query = query.filter(dsl::first_seen.lt(first_seen).or(earlier));
    }
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let rows: Vec<(Head, i32)> = query
        .order((dsl::first_seen.desc(), dsl::id.desc()))
        // One more than wanted tells whether there are more.
        .limit(i64::try_from(limit.saturating_add(1)).unwrap_or(i64::MAX))
        .select((Head::as_select(), sql::<Integer>("octet_length(body)")))
        .load(conn)?;
    let has_more = rows.len() > limit;
    let last = rows.iter().take(limit).next_back().map(|(head, _)| head);
    let next = last.filter(|_| has_more).map(|last| DeadLetterCursor {
        first_seen: last.first_seen,
        id: last.id,
    });
    let letters = rows.into_iter().take(limit).map(DeadLetterSummary::from);
    Ok(DeadLetterPage {
        letters: letters.collect(),
        next,
    })
}

fn batch(
    conn: &mut PgConnection,
    filter: &DeadLetterFilter,
    after: Option<DeadLetterCursor>,
    limit: u32,
    bytes: u64,
) -> QueryResult<DeadLetterBatch> {
    let mut query = matching(filter);
    if let Some(DeadLetterCursor { first_seen, id }) = after {
        let later = dsl::first_seen.eq(first_seen).and(dsl::id.gt(id));
        query = query.filter(dsl::first_seen.gt(first_seen).or(later));
    }
    let rows: Vec<(DateTime<Utc>, Uuid, i32)> = query
        .order((dsl::first_seen, dsl::id))
        .limit(i64::from(limit).saturating_add(1))
        .select((
            dsl::first_seen,
            dsl::id,
            sql::<Integer>("octet_length(body)"),
        ))
        .load(conn)?;
    let (mut ids, mut next, mut held) = (Vec::new(), None, 0_u64);
    for (first_seen, id, size) in &rows {
        held = held.saturating_add(u64::try_from(*size).unwrap_or(0));
        if !ids.is_empty() && (held > bytes || ids.len() >= limit as usize) {
            return Ok(DeadLetterBatch { ids, next });
        }
        ids.push(*id);
        next = Some(DeadLetterCursor {
            first_seen: *first_seen,
            id: *id,
        });
    }
    Ok(DeadLetterBatch { ids, next: None })
}

pub(crate) fn counts(
    conn: &mut PgConnection,
    filter: &DeadLetterFilter,
) -> QueryResult<Vec<DeadLetterCount>> {
    let wanted = matching(filter).select(dsl::id);
    let rows: Vec<(String, String, i64)> = dsl::dead_letters
        .filter(dsl::id.eq_any(wanted))
        .group_by((dsl::reason, dsl::state))
        .select((dsl::reason, dsl::state, diesel::dsl::count_star()))
        .order((dsl::reason, dsl::state))
        .load(conn)?;
    let counts = rows
        .into_iter()
        .map(|(reason, state, count)| DeadLetterCount {
            reason,
            state: DeadLetterState::stored(&state),
            count: u64::try_from(count).unwrap_or(0),
        });
    Ok(counts.collect())
}

impl From<(Head, i32)> for DeadLetterSummary {
    fn from((head, bytes): (Head, i32)) -> Self {
        Self {
            id: head.id,
            source: head.source,
            reason: head.reason,
            detail: head.detail,
            event_id: head.event_id.and_then(EventId::from_uuid),
            ad_id: head.ad_id.and_then(AdId::new),
            occurred_at: head.occurred_at.map(times::timestamp),
            first_seen: times::timestamp(head.first_seen),
            requeued_at: head.requeued_at.map(times::timestamp),
            state: DeadLetterState::stored(&head.state),
            body_bytes: u64::try_from(bytes).unwrap_or(0),
        }
    }
}
