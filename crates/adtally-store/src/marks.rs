//! Marks: the hours and days that changed since their last roll-up.

use adtally_domain::Timestamp;
use chrono::{DateTime, NaiveDate, Utc};
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::{Array, Nullable, Timestamptz};

use crate::schema::{dirty_days, dirty_hours};
use crate::{Store, StoreError, times};

#[derive(QueryableByName)]
struct RawFrom {
    #[diesel(sql_type = Nullable<Timestamptz>)]
    raw_from: Option<DateTime<Utc>>,
}

/// Marks `hours` and, in the same round trip, reads from when on raw events are kept.
pub(crate) fn append(
    conn: &mut PgConnection,
    hours: &[DateTime<Utc>],
) -> QueryResult<Option<Timestamp>> {
    let row: RawFrom = diesel::sql_query(
        "WITH marks AS (INSERT INTO dirty_hours (hour) SELECT unnest($1)) \
         SELECT (SELECT value::timestamptz FROM settings WHERE key = 'raw_from') AS raw_from",
    )
    .bind::<Array<Timestamptz>, _>(hours)
    .get_result(conn)?;
    Ok(row.raw_from.map(times::timestamp))
}

pub(crate) fn append_day(conn: &mut PgConnection, day: NaiveDate) -> QueryResult<usize> {
    diesel::insert_into(dirty_days::table)
        .values(dirty_days::day.eq(day))
        .execute(conn)
}

/// The hours that are marked in `[from, to)`, in order.
pub(crate) fn hours_between(
    conn: &mut PgConnection,
    from: Timestamp,
    to: Timestamp,
) -> QueryResult<Vec<Timestamp>> {
    let hours: Vec<DateTime<Utc>> = dirty_hours::table
        .filter(dirty_hours::hour.ge(from.to_datetime()))
        .filter(dirty_hours::hour.lt(to.to_datetime()))
        .select(dirty_hours::hour)
        .distinct()
        .order(dirty_hours::hour)
        .load(conn)?;
    Ok(hours.into_iter().map(times::timestamp).collect())
}

/// The days that are marked, in order.
pub(crate) fn days(conn: &mut PgConnection) -> QueryResult<Vec<NaiveDate>> {
    dirty_days::table
        .select(dirty_days::day)
        .distinct()
        .order(dirty_days::day)
        .load(conn)
}

impl Store {
    /// The first instants of all marked hours, oldest first, those that are not over included.
    ///
    /// # Errors
    /// The transient ones.
    pub async fn pending_hours(&self) -> Result<Vec<Timestamp>, StoreError> {
        self.run(|conn| Ok(hours_between(conn, Timestamp::EPOCH, Timestamp::MAX)?))
            .await
    }

    /// All marked days, oldest first, those that are not over included.
    ///
    /// # Errors
    /// The transient ones.
    pub async fn pending_days(&self) -> Result<Vec<NaiveDate>, StoreError> {
        self.run(|conn| Ok(days(conn)?)).await
    }
}
