//! Dead letters as rows.

use std::collections::BTreeMap;

use adtally_domain::{AdId, DeadLetterReason, EventId, Timestamp};
use chrono::{DateTime, Utc};
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::upsert::excluded;
use serde_json::Value;
use uuid::Uuid;

use super::{DeadLetter, DeadLetterState, NewDeadLetter};
use crate::schema::dead_letters::{self, dsl};
use crate::text::{without_nul, without_nul_in};
use crate::times;

/// Rows of one INSERT: PostgreSQL takes at most 65,535 parameters.
const CHUNK: usize = 1_000;

#[derive(Insertable)]
#[diesel(table_name = dead_letters, treat_none_as_default_value = false)]
struct NewRow<'a> {
    id: Uuid,
    source: String,
    reason: &'static str,
    detail: String,
    body: &'a [u8],
    headers: Value,
    event_id: Option<Uuid>,
    ad_id: Option<i64>,
    occurred_at: Option<DateTime<Utc>>,
}

impl<'a> From<&'a NewDeadLetter> for NewRow<'a> {
    fn from(letter: &'a NewDeadLetter) -> Self {
        Self {
            id: letter.id,
            source: without_nul(&letter.source),
            reason: letter.reason.as_str(),
            detail: without_nul(&letter.detail),
            body: &letter.body,
            headers: without_nul_in(&letter.headers),
            event_id: letter.event_id.map(EventId::as_uuid),
            ad_id: letter.ad_id.map(AdId::get),
            occurred_at: letter.occurred_at.map(Timestamp::to_datetime),
        }
    }
}

/// Keeps `letters` and says how many of each reason are new, or new again after they had been
/// requeued.
pub(crate) fn insert<'a>(
    conn: &mut PgConnection,
    letters: impl Iterator<Item = &'a NewDeadLetter>,
) -> QueryResult<BTreeMap<DeadLetterReason, u64>> {
    use diesel::query_dsl::methods::FilterDsl;
    let mut rows: Vec<NewRow<'_>> = letters.map(NewRow::from).collect();
    // Stable, and then one row for each id: an INSERT may touch a row only once.
    rows.sort_by_key(|row| row.id);
    rows.dedup_by_key(|row| row.id);
    let mut changed = BTreeMap::new();
    for chunk in rows.chunks(CHUNK) {
        let reasons: Vec<String> = diesel::insert_into(dsl::dead_letters)
            .values(chunk)
            .on_conflict(dsl::id)
            .do_update()
            .set((
                dsl::state.eq(DeadLetterState::New.as_str()),
                dsl::reason.eq(excluded(dsl::reason)),
                dsl::detail.eq(excluded(dsl::detail)),
                // A message that could not be read may fail for one of its events once it can.
                dsl::body.eq(excluded(dsl::body)),
                dsl::event_id.eq(excluded(dsl::event_id)),
                dsl::ad_id.eq(excluded(dsl::ad_id)),
                dsl::occurred_at.eq(excluded(dsl::occurred_at)),
            ))
            .filter(dsl::state.eq(DeadLetterState::Requeued.as_str()))
            .returning(dsl::reason)
            .get_results(conn)?;
        // Each is one of those that were just written.
        for reason in reasons
            .iter()
            .filter_map(|name| DeadLetterReason::named(name))
        {
            *changed.entry(reason).or_default() += 1;
        }
    }
    Ok(changed)
}

/// Keeps `letters` of events that could not be stored. An event that has a letter goes to that one, of
/// several to one that an operator put back. Says what [`insert`] says.
pub(crate) fn insert_from_events(
    conn: &mut PgConnection,
    letters: &[NewDeadLetter],
) -> QueryResult<BTreeMap<DeadLetterReason, u64>> {
    let events: Vec<Uuid> = letters
        .iter()
        .filter_map(|letter| letter.event_id.map(EventId::as_uuid))
        .collect();
    if events.is_empty() {
        return insert(conn, letters.iter());
    }
    // The lock waits for an operator who is putting the event back at this moment.
    let kept: Vec<(Uuid, Option<Uuid>, String)> = dsl::dead_letters
        .filter(dsl::event_id.eq_any(events))
        .order(dsl::id)
        .select((dsl::id, dsl::event_id, dsl::state))
        .for_update()
        .load(conn)?;
    let under_its_id = |letter: &NewDeadLetter| {
        let event = letter.event_id.map(EventId::as_uuid);
        let of_event = kept.iter().filter(|(_, kept, _)| *kept == event);
        // The one that an operator put back, or any other: one event needs no second letter.
        let its_own = of_event.max_by_key(|(id, _, state)| {
            let is_requeued = state == DeadLetterState::Requeued.as_str();
            (is_requeued, *id == letter.id)
        });
        NewDeadLetter {
            id: its_own.map_or(letter.id, |(id, ..)| *id),
            ..letter.clone()
        }
    };
    let letters: Vec<NewDeadLetter> = letters.iter().map(under_its_id).collect();
    insert(conn, letters.iter())
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = dead_letters)]
pub(super) struct Row {
    id: Uuid,
    source: String,
    reason: String,
    detail: String,
    body: Vec<u8>,
    headers: Value,
    event_id: Option<Uuid>,
    ad_id: Option<i64>,
    occurred_at: Option<DateTime<Utc>>,
    first_seen: DateTime<Utc>,
    requeued_at: Option<DateTime<Utc>>,
    state: String,
}

impl From<Row> for DeadLetter {
    fn from(row: Row) -> Self {
        Self {
            letter: NewDeadLetter {
                id: row.id,
                source: row.source,
                reason: row.reason,
                detail: row.detail,
                body: row.body,
                headers: row.headers,
                event_id: row.event_id.and_then(EventId::from_uuid),
                ad_id: row.ad_id.and_then(AdId::new),
                occurred_at: row.occurred_at.map(times::timestamp),
            },
            first_seen: times::timestamp(row.first_seen),
            requeued_at: row.requeued_at.map(times::timestamp),
            state: DeadLetterState::stored(&row.state),
        }
    }
}
