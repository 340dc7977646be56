//! What a transaction does once the rows of its batch are in, in one round trip.

use chrono::{DateTime, Utc};
use diesel::pg::{Pg, PgConnection};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, Binary, Bool, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use uuid::Uuid;

use super::limits::Limits;
use super::pending_insert::Marks;
use crate::times;

/// The statement of [`after_insert`]. Every batch has it, so it is one that diesel prepares once for each
/// connection; what `sql_query` is given is parsed and planned each time.
#[derive(Debug)]
struct AfterInsert<'a> {
    marks: &'a Marks,
    first: Option<Uuid>,
    last: Option<Uuid>,
}

impl QueryId for AfterInsert<'_> {
    type QueryId = AfterInsert<'static>;

    const HAS_STATIC_QUERY_ID: bool = true;
}

impl QueryFragment<Pg> for AfterInsert<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "WITH marks AS (INSERT INTO dirty_hours (hour, added) SELECT hour, added FROM unnest(",
        );
        out.push_bind_param::<Array<Timestamptz>, _>(&self.marks.hours)?;
        out.push_sql("::timestamptz[], ");
        out.push_bind_param::<Array<Binary>, _>(&self.marks.added)?;
        out.push_sql(
            "::bytea[]) AS mark (hour, added)) SELECT now(), \
             (SELECT value FROM settings WHERE key = 'timezone'), \
             (SELECT value::timestamptz FROM settings WHERE key = 'raw_from'), \
             ARRAY(SELECT hour FROM closed_hours WHERE hour = ANY(",
        );
        out.push_bind_param::<Array<Timestamptz>, _>(&self.marks.hours)?;
        out.push_sql(
            ")), (SELECT true FROM dead_letters \
              WHERE state <> 'requeued' AND event_id BETWEEN ",
        );
        out.push_bind_param::<Nullable<SqlUuid>, _>(&self.first)?;
        out.push_sql(" AND ");
        out.push_bind_param::<Nullable<SqlUuid>, _>(&self.last)?;
        // The order of the index, so that no plan reads letters outside of the bounds.
        out.push_sql(" ORDER BY event_id LIMIT 1)");
        Ok(())
    }
}

impl Query for AfterInsert<'_> {
    type SqlType = (
        Timestamptz,
        Nullable<Text>,
        Nullable<Timestamptz>,
        Array<Timestamptz>,
        Nullable<Bool>,
    );
}

impl RunQueryDsl<PgConnection> for AfterInsert<'_> {}

/// A row of [`AfterInsert`].
type Row = (
    DateTime<Utc>,
    Option<String>,
    Option<DateTime<Utc>>,
    Vec<DateTime<Utc>>,
    Option<bool>,
);

/// What was found.
pub(super) struct Found {
    /// Which times can be stored, as far as it concerns `hours`.
    pub(super) limits: Limits,
    /// The name of the zone that the database reports in.
    pub(super) zone: Option<String>,
    /// Letters of events between the ends wait for a decision or were given up.
    pub(super) has_letters: bool,
}

/// Appends `marks`, and looks for what concerns a batch whose first and last ids are `ends`.
pub(super) fn after_insert(
    conn: &mut PgConnection,
    marks: &Marks,
    ends: Option<(Uuid, Uuid)>,
) -> QueryResult<Found> {
    let (first, last) = ends.unzip();
    let statement = AfterInsert { marks, first, last };
    let (now, zone, raw_from, closed, has_letters): Row = statement.get_result(conn)?;
    Ok(Found {
        limits: Limits {
            now: times::timestamp(now),
            raw_from: raw_from.map(times::timestamp),
            closed: closed.into_iter().map(times::timestamp).collect(),
        },
        zone,
        has_letters: has_letters.unwrap_or_default(),
    })
}
