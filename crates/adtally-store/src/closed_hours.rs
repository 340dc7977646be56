//! Hours whose raw events are gone although nobody closed them with [`Store::drop_partition`].
//!
//! Raw events are only ever added. So an hour with fewer events than its total says has lost some: a
//! partition was dropped by hand, or rows were deleted. Nothing tells which of the events that are left
//! were in the total, so a late event cannot be added to it. The total stands, the hour's late events
//! become dead letters `too_old`, and the audit names the hour.

use std::collections::BTreeSet;

use adtally_domain::{Hour, Timestamp};
use chrono::{DateTime, Utc};
use diesel::pg::PgConnection;
use diesel::prelude::*;

use crate::schema::closed_hours::dsl;
use crate::times;

/// Why an hour is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClosedReason {
    /// Its partition was gone when the next event of its day came.
    PartitionMissing,
    /// A roll-up found fewer events than its total says.
    EventsMissing,
}

impl ClosedReason {
    /// The name in every output: `partition_missing` or `events_missing`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PartitionMissing => "partition_missing",
            Self::EventsMissing => "events_missing",
        }
    }

    fn of(name: &str) -> Self {
        match name {
            "partition_missing" => Self::PartitionMissing,
            _ => Self::EventsMissing,
        }
    }
}

/// An hour whose total stands although its raw events are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClosedHour {
    /// The hour's first instant.
    pub start: Timestamp,
    /// Why it is closed.
    pub reason: ClosedReason,
    /// Since when.
    pub closed_at: Timestamp,
}

/// Closes an hour, unless it is closed already.
pub(crate) fn close(conn: &mut PgConnection, hour: Hour) -> QueryResult<usize> {
    diesel::insert_into(dsl::closed_hours)
        .values((
            dsl::hour.eq(hour.start.to_datetime()),
            dsl::reason.eq(ClosedReason::EventsMissing.as_str()),
        ))
        .on_conflict_do_nothing()
        .execute(conn)
}

/// Opens an hour whose events are all there again.
pub(crate) fn reopen(conn: &mut PgConnection, hour: Hour) -> QueryResult<usize> {
    diesel::delete(dsl::closed_hours.find(hour.start.to_datetime())).execute(conn)
}

/// Forgets the closed hours before `raw_from`: all hours there are closed.
pub(crate) fn forget_before(conn: &mut PgConnection, raw_from: Timestamp) -> QueryResult<usize> {
    let before = dsl::closed_hours.filter(dsl::hour.lt(raw_from.to_datetime()));
    diesel::delete(before).execute(conn)
}

/// The closed hours that begin in `[from, to)`, in order.
pub(crate) fn between(
    conn: &mut PgConnection,
    from: Timestamp,
    to: Timestamp,
) -> QueryResult<Vec<ClosedHour>> {
    let rows: Vec<(DateTime<Utc>, String, DateTime<Utc>)> = dsl::closed_hours
        .filter(dsl::hour.ge(from.to_datetime()))
        .filter(dsl::hour.lt(to.to_datetime()))
        .order(dsl::hour)
        .load(conn)?;
    let hours = rows.into_iter().map(|(hour, reason, at)| ClosedHour {
        start: times::timestamp(hour),
        reason: ClosedReason::of(&reason),
        closed_at: times::timestamp(at),
    });
    Ok(hours.collect())
}

/// The first instants of the closed hours that begin in `[from, to)`.
pub(crate) fn starts_between(
    conn: &mut PgConnection,
    from: Timestamp,
    to: Timestamp,
) -> QueryResult<BTreeSet<Timestamp>> {
    let hours = between(conn, from, to)?.into_iter();
    Ok(hours.map(|hour| hour.start).collect())
}
