//! Letters of events that are stored after all.
//!
//! An event may reach the table without its letter being marked: the mark of its requeuing was lost,
//! or its sender sends it again once the cause is gone. So each transaction that stores events, or keeps
//! letters of events, looks for such letters: no event is both stored and in a letter that waits for a
//! decision or was given up.

use diesel::dsl::sql;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::{Array, Bool, Timestamptz, Uuid as SqlUuid};
use uuid::Uuid;

use crate::schema::dead_letters::dsl;
use crate::times;

/// More letters than this are picked by the database: naming each event to it costs more than
/// reading so many letters.
const FEW: usize = 200;

/// A letter's id, and its event's.
type Letter = (Uuid, Option<Uuid>);

/// Marks the letters of those of `events` that are stored as `requeued`. Run it as a transaction's last
/// statement: it may wait for an operator who is putting one of these letters back.
pub(crate) fn resolve(
    conn: &mut PgConnection,
    events: impl Iterator<Item = Uuid> + Clone,
) -> QueryResult<()> {
    let Some((first, last)) = bounds(events.clone()) else {
        return Ok(());
    };
    let mut letters: Vec<Letter> = dsl::dead_letters
        .filter(dsl::event_id.between(first, last))
        .filter(is_unresolved())
        // The order of the index, so that no plan reads letters outside of the bounds.
        .order(dsl::event_id)
        .limit(i64::try_from(FEW).unwrap_or(i64::MAX).saturating_add(1))
        .select((dsl::id, dsl::event_id))
        .load(conn)?;
    if letters.is_empty() {
        return Ok(());
    }
    let mut events: Vec<Uuid> = events.collect();
    if letters.len() > FEW {
        letters = dsl::dead_letters
            .filter(dsl::event_id.eq_any(events))
            .filter(is_unresolved())
            .select((dsl::id, dsl::event_id))
            .load(conn)?;
    } else {
        events.sort_unstable();
        letters.retain(|(_, event)| event.is_some_and(|id| events.binary_search(&id).is_ok()));
    }
    mark_stored(conn, &letters)
}

/// The least and the greatest.
fn bounds(events: impl Iterator<Item = Uuid> + Clone) -> Option<(Uuid, Uuid)> {
    // Compared as numbers: as bytes, each comparison would be a call.
    let numbers = events.map(|id| id.as_u128());
    let (first, last) = (numbers.clone().min()?, numbers.max()?);
    Some((Uuid::from_u128(first), Uuid::from_u128(last)))
}

/// In the words of the partial index, or it is of no use.
fn is_unresolved() -> diesel::expression::SqlLiteral<Bool> {
    sql("state <> 'requeued'")
}

fn mark_stored(conn: &mut PgConnection, letters: &[Letter]) -> QueryResult<()> {
    let events: Vec<Uuid> = letters.iter().filter_map(|(_, event)| *event).collect();
    if events.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = letters.iter().map(|(id, _)| *id).collect();
    let now = times::now(conn)?;
    // Locks in the order in which everybody locks letters, and looks again once it has waited. The
    // subquery finds each event by its key, where a join might read all events of a day; that its id is
    // one of `$2` leaves out the partitions of other days.
    diesel::sql_query(
        "UPDATE dead_letters SET state = 'requeued', requeued_at = coalesce(requeued_at, $3) \
         WHERE id IN (SELECT id FROM dead_letters AS letters \
                      WHERE id = ANY($1) AND state <> 'requeued' \
                        AND (SELECT true FROM events WHERE events.event_id = letters.event_id \
                                                       AND events.event_id = ANY($2)) \
                      ORDER BY id FOR UPDATE)",
    )
    .bind::<Array<SqlUuid>, _>(ids)
    .bind::<Array<SqlUuid>, _>(events)
    .bind::<Timestamptz, _>(now)
    .execute(conn)
    .map(drop)
}
