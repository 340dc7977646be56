//! Which events a batch failed for.

use adtally_domain::Event;
use chrono::{DateTime, Utc};
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::{
    Array, BigInt, Bytea, Inet, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid,
};
use ipnet::IpNet;
use uuid::Uuid;

use super::copy_buffer::RowRef;

/// An event the table rejects because of what is in it.
#[derive(QueryableByName)]
pub(super) struct RejectedRow {
    #[diesel(sql_type = SqlUuid)]
    pub(super) event_id: Uuid,
    /// The SQLSTATE, of class 22 or 23.
    #[diesel(sql_type = Text)]
    pub(super) code: String,
    #[diesel(sql_type = Text)]
    pub(super) detail: String,
}

/// Tries each of `rows` alone, inside the database, and leaves nothing behind.
///
/// None rejected means that the batch did not fail for its events.
pub(super) fn among(conn: &mut PgConnection, rows: &[RowRef<'_>]) -> QueryResult<Vec<RejectedRow>> {
    let rows: Vec<Event> = rows.iter().map(RowRef::event).collect();
    let mut rejected = Vec::new();
    let outcome = conn.transaction::<(), diesel::result::Error, _>(|conn| {
        rejected = examine(conn, &rows)?;
        Err(diesel::result::Error::RollbackTransaction)
    });
    match outcome {
        Err(diesel::result::Error::RollbackTransaction) | Ok(()) => Ok(rejected),
        Err(error) => Err(error),
    }
}

fn examine(conn: &mut PgConnection, rows: &[Event]) -> QueryResult<Vec<RejectedRow>> {
    diesel::sql_query(
        "SELECT event_id, code, detail \
         FROM adtally_refused_events($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind::<Array<SqlUuid>, _>(column(rows, |event| event.id.as_uuid()))
    .bind::<Array<BigInt>, _>(column(rows, |event| event.ad_id.get()))
    .bind::<Array<SmallInt>, _>(column(rows, |event| i16::from(event.kind.code())))
    .bind::<Array<Timestamptz>, Vec<DateTime<Utc>>>(column(rows, |event| {
        event.received_at.to_datetime()
    }))
    .bind::<Array<Nullable<SqlUuid>>, _>(column(rows, |event| event.impression_id))
    .bind::<Array<Nullable<Inet>>, _>(column(rows, |event| event.ip.map(IpNet::from)))
    .bind::<Array<Nullable<Bytea>>, _>(column(rows, |event| bytes(&event.visitor_id)))
    .bind::<Array<Nullable<Bytea>>, _>(column(rows, |event| bytes(&event.user_agent)))
    .bind::<Array<Nullable<Bytea>>, _>(column(rows, |event| bytes(&event.referer)))
    .bind::<Array<Nullable<Bytea>>, _>(column(rows, |event| bytes(&event.placement)))
    .bind::<Array<Nullable<Bytea>>, _>(column(rows, |event| bytes(&event.source)))
    .load(conn)
}

fn column<'a, T>(rows: &'a [Event], value: impl Fn(&'a Event) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}

fn bytes(text: &Option<String>) -> Option<&[u8]> {
    text.as_deref().map(str::as_bytes)
}
