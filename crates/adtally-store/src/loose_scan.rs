//! The different hours of a table that has many rows of each.
//!
//! A DISTINCT would read all of the rows. This steps from one hour to the next along the index: a loose index
//! scan, which PostgreSQL's planner does not know by itself.

use adtally_domain::Timestamp;
use chrono::{DateTime, Utc};
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::Timestamptz;

use crate::times;

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = Timestamptz)]
    hour: DateTime<Utc>,
}

/// The hours in `[from, to)` of a table with an index that begins with `hour`, in order.
pub(crate) fn hours(
    conn: &mut PgConnection,
    table: &'static str,
    from: Timestamp,
    to: Timestamp,
) -> QueryResult<Vec<Timestamp>> {
    let hours: Vec<Found> = diesel::sql_query(format!(
        "WITH RECURSIVE found AS ( \
             SELECT min(hour) AS hour FROM {table} WHERE hour >= $1 AND hour < $2 \
             UNION ALL \
             SELECT (SELECT min(hour) FROM {table} WHERE hour > found.hour AND hour < $2) \
             FROM found WHERE found.hour IS NOT NULL) \
         SELECT hour FROM found WHERE hour IS NOT NULL"
    ))
    .bind::<Timestamptz, _>(from.to_datetime())
    .bind::<Timestamptz, _>(to.to_datetime())
    .load(conn)?;
    let hours = hours.into_iter().map(|found| found.hour);
    Ok(hours.map(times::timestamp).collect())
}
