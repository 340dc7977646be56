//! Which events of a batch are stored already.
//!
//! COPY knows no ON CONFLICT: one id that exists fails it all. Looking the ids up costs a small part of
//! the COPY, and inserting every row with ON CONFLICT about four times as much. So a batch is copied
//! as if all of it were new; when that fails, the existing events are taken out and the rest is copied.
//! Existing ids come in runs (a redelivery, a file sent again), so some batches after that look first.
//!
//! Most ids of a batch are neighbours in the index. Reading all that is between them costs much less than
//! looking for each: where the batch is new that is hardly anything, and where it exists it is little
//! else than the batch.

mod ranges;

use std::sync::atomic::{AtomicU32, Ordering};

use diesel::connection::SimpleConnection;
use diesel::deserialize::{self, FromSqlRow};
use diesel::dsl::sql;
use diesel::pg::{Pg, PgConnection};
use diesel::prelude::*;
use diesel::result::UnexpectedEndOfRow;
use diesel::row::Field;
use diesel::sql_types::{Array, BigInt, Uuid as SqlUuid};
use ranges::Ranges;
use uuid::Uuid;

use super::column_value::put_nullable;
use super::columns::{Payload, SELECT_PAYLOAD};
use super::copy_buffer::RowRef;
use crate::partitions::utc_day;

/// Batches that look first after one that held duplicates.
const LOOK_FIRST: u32 = 4;

/// Rows read in the ranges of a batch for each of its events, before the rest is given up and each is
/// looked up by its key.
const ROWS_PER_EVENT: usize = 3;
/// Bytes of a payload, more or less.
const PAYLOAD_BYTES: usize = 128;
/// Look-ups by the keys alone after one between whose ids there was too much.
const SPARSE: u32 = 16;

/// No statistics tell that the ids of a batch are neighbours. By itself the planner reads whole partitions,
/// and compiles what it thinks to be expensive.
const BY_INDEX: &str = "SELECT set_config(name, 'off', true) \
                        FROM unnest('{enable_hashjoin,enable_mergejoin,enable_seqscan, \
                                      enable_bitmapscan,jit}'::text[]) AS name";

/// What is to be expected, by what came before. Batches that run at once may lose a count: it decides
/// nothing but speed.
#[derive(Debug, Default)]
pub(crate) struct DuplicateHint {
    /// Batches to come in which duplicates are likely.
    likely: AtomicU32,
    /// Look-ups to come whose ids are likely sparse, with too much between them: between clicks, say, or when
    /// many workers share what was redelivered.
    sparse: AtomicU32,
}

impl DuplicateHint {
    pub(super) fn expects_any(&self) -> bool {
        self.likely.load(Ordering::Relaxed) > 0
    }

    /// Takes note of whether a batch held duplicates.
    pub(super) fn learn(&self, held_duplicates: bool) {
        count_down(&self.likely, held_duplicates.then_some(LOOK_FIRST));
    }
}

/// Sets a count, or lowers it by one.
fn count_down(count: &AtomicU32, anew: Option<u32>) {
    let left = count.load(Ordering::Relaxed).saturating_sub(1);
    count.store(anew.unwrap_or(left), Ordering::Relaxed);
}

/// A stored event.
pub(super) struct Existing {
    id: Uuid,
    /// What its sender said, as a row of COPY says it.
    payload: Vec<u8>,
}

impl Existing {
    pub(super) fn id(&self) -> Uuid {
        self.id
    }

    pub(super) fn has_payload_of(&self, row: &RowRef<'_>) -> bool {
        self.payload == row.payload()
    }
}

/// The server sends a column as COPY takes it. So the payload is compared as it came, not read.
impl FromSqlRow<Payload, Pg> for Existing {
    fn build_from_row<'a>(row: &impl diesel::row::Row<'a, Pg>) -> deserialize::Result<Self> {
        let id = row.get_value::<SqlUuid, _, _>(0)?;
        let mut payload = Vec::with_capacity(PAYLOAD_BYTES);
        let mut without_trailing = 0;
        for column in 1..row.field_count() {
            let field = row.get(column).ok_or(UnexpectedEndOfRow)?;
            put_nullable(&mut payload, field.value().map(|value| value.as_bytes()));
            if !field.is_null() {
                without_trailing = payload.len();
            }
        }
        payload.truncate(without_trailing);
        Ok(Self { id, payload })
    }
}

/// The stored events with the ids of `rows`, and perhaps some between them, sorted by id. `rows` are
/// sorted too.
pub(super) fn among(
    conn: &mut PgConnection,
    rows: &[RowRef<'_>],
    hint: &DuplicateHint,
) -> QueryResult<Vec<Existing>> {
    let mut existing = Vec::new();
    // A transaction for each day: a statement plans and locks every partition between its bounds, and a
    // late event may be years before the others.
    for rows in rows.chunk_by(|row, next| utc_day(row.occurred_at()) == utc_day(next.occurred_at()))
    {
        let ids: Vec<Uuid> = rows.iter().map(|row| row.id().as_uuid()).collect();
        existing.extend(of_one_day(conn, &ids, hint)?);
    }
    existing.sort_unstable_by_key(Existing::id);
    Ok(existing)
}

fn of_one_day(
    conn: &mut PgConnection,
    ids: &[Uuid],
    hint: &DuplicateHint,
) -> QueryResult<Vec<Existing>> {
    conn.transaction(|conn| {
        conn.batch_execute(BY_INDEX)?;
        if hint.sparse.load(Ordering::Relaxed) == 0 {
            if let Some(existing) = in_ranges(conn, ids)? {
                return Ok(existing);
            }
            count_down(&hint.sparse, Some(SPARSE));
        } else {
            count_down(&hint.sparse, None);
        }
        by_key(conn, ids)
    })
}

/// Reads everything between neighbouring `ids`, and looks for the others; `None` when there is too
/// much between them.
fn in_ranges(conn: &mut PgConnection, ids: &[Uuid]) -> QueryResult<Option<Vec<Existing>>> {
    let most = ids.len().saturating_mul(ROWS_PER_EVENT);
    let Ranges {
        firsts,
        lasts,
        isolated,
    } = Ranges::of(ids);
    let (Some(&first), Some(&last)) = (firsts.first(), lasts.last()) else {
        return by_key(conn, ids).map(Some);
    };
    // The bounds leave out the partitions of other days, here and below. OFFSET keeps the planner from
    // reading all between the first and the last range instead.
    let mut found: Vec<Existing> = sql::<Payload>(SELECT_PAYLOAD)
        .sql("unnest(")
        .bind::<Array<SqlUuid>, _>(firsts)
        .sql(", ")
        .bind::<Array<SqlUuid>, _>(lasts)
        .sql(
            ") AS range (first, last) CROSS JOIN LATERAL (SELECT * FROM events \
             WHERE event_id BETWEEN range.first AND range.last AND event_id BETWEEN ",
        )
        .bind::<SqlUuid, _>(first)
        .sql(" AND ")
        .bind::<SqlUuid, _>(last)
        .sql(" OFFSET 0) AS found LIMIT ")
        .bind::<BigInt, _>(i64::try_from(most).unwrap_or(i64::MAX).saturating_add(1))
        .load(conn)?;
    if found.len() > most {
        return Ok(None);
    }
    found.extend(by_key(conn, &isolated)?);
    Ok(Some(found))
}

fn by_key(conn: &mut PgConnection, ids: &[Uuid]) -> QueryResult<Vec<Existing>> {
    let (Some(first), Some(last)) = (ids.first(), ids.last()) else {
        return Ok(Vec::new());
    };
    sql::<Payload>(SELECT_PAYLOAD)
        .sql("events JOIN unnest(")
        .bind::<Array<SqlUuid>, _>(ids)
        .sql(") AS given (id) ON event_id = given.id WHERE event_id BETWEEN ")
        .bind::<SqlUuid, _>(first)
        .sql(" AND ")
        .bind::<SqlUuid, _>(last)
        .load(conn)
}
