//! Dead letters as rows.

use std::collections::{BTreeMap, HashMap};

use adtally_domain::{AdId, EventId, Timestamp};
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
    reason: String,
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
            reason: without_nul(&letter.reason),
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
) -> QueryResult<BTreeMap<String, u64>> {
    use diesel::query_dsl::methods::FilterDsl;
    let mut rows: Vec<NewRow<'_>> = letters.map(NewRow::from).collect();
    send_home(conn, &mut rows)?;
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
        for reason in reasons {
            *changed.entry(reason).or_default() += 1;
        }
    }
    Ok(changed)
}

/// Gives each letter of an event that has one already the id of that one: an event needs no second
/// letter, whatever messages it came in. Of several it is one that an operator put back.
fn send_home(conn: &mut PgConnection, rows: &mut [NewRow<'_>]) -> QueryResult<()> {
    let events: Vec<Uuid> = rows.iter().filter_map(|row| row.event_id).collect();
    if events.is_empty() {
        return Ok(());
    }
    // The lock waits for whoever is putting the event back at this moment to say so.
    let kept: Vec<(Uuid, Option<Uuid>, String)> = dsl::dead_letters
        .filter(dsl::event_id.eq_any(events))
        .order(dsl::id)
        .select((dsl::id, dsl::event_id, dsl::state))
        .for_update()
        .load(conn)?;
    let mut homes: HashMap<Uuid, Vec<(bool, Uuid)>> = HashMap::new();
    for (id, event, state) in kept {
        let is_requeued = state == DeadLetterState::Requeued.as_str();
        let event = event.unwrap_or_default();
        homes.entry(event).or_default().push((is_requeued, id));
    }
    for row in rows {
        let Some(event) = row.event_id else { continue };
        let homes = homes.entry(event).or_default();
        match homes
            .iter()
            .max_by_key(|(is_requeued, id)| (*is_requeued, *id == row.id))
        {
            Some((_, home)) => row.id = *home,
            // That of the next one with this event.
            None => homes.push((false, row.id)),
        }
    }
    Ok(())
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
