//! Between PostgreSQL's times and ours.

use adtally_domain::Timestamp;
use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::Timestamptz;

/// A time read from a column, floored to milliseconds and held within what a [`Timestamp`] can say.
pub(crate) fn timestamp(time: DateTime<Utc>) -> Timestamp {
    Timestamp::EPOCH.saturating_add_millis(time.timestamp_millis())
}

/// PostgreSQL's clock at this moment, also inside a transaction.
pub(crate) fn clock(conn: &mut PgConnection) -> QueryResult<DateTime<Utc>> {
    diesel::select(sql::<Timestamptz>("clock_timestamp()")).get_result(conn)
}

/// PostgreSQL's clock; inside a transaction, the time the transaction began.
pub(crate) fn now(conn: &mut PgConnection) -> QueryResult<DateTime<Utc>> {
    diesel::select(sql::<Timestamptz>("now()")).get_result(conn)
}
