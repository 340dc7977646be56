//! Marks: the hours and days that changed since their last roll-up.

use adtally_domain::Timestamp;
use chrono::{DateTime, NaiveDate, Utc};
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::Timestamptz;

use crate::schema::dirty_days;
use crate::{Store, StoreError, times};

pub(crate) fn append_day(conn: &mut PgConnection, day: NaiveDate) -> QueryResult<usize> {
    diesel::insert_into(dirty_days::table)
        .values(dirty_days::day.eq(day))
        .execute(conn)
}

#[derive(QueryableByName)]
struct Marked {
    #[diesel(sql_type = Timestamptz)]
    hour: DateTime<Utc>,
}

/// The hours that are marked in `[from, to)`, in order.
///
/// Steps from hour to hour along the index: an hour that runs has a mark for each batch, which a
/// DISTINCT would all read.
pub(crate) fn hours_between(
    conn: &mut PgConnection,
    from: Timestamp,
    to: Timestamp,
) -> QueryResult<Vec<Timestamp>> {
    let hours: Vec<Marked> = diesel::sql_query(
        "WITH RECURSIVE marked AS ( \
             SELECT min(hour) AS hour FROM dirty_hours WHERE hour >= $1 AND hour < $2 \
             UNION ALL \
             SELECT (SELECT min(hour) FROM dirty_hours \
                     WHERE hour > marked.hour AND hour < $2) \
             FROM marked WHERE marked.hour IS NOT NULL) \
         SELECT hour FROM marked WHERE hour IS NOT NULL",
    )
    .bind::<Timestamptz, _>(from.to_datetime())
    .bind::<Timestamptz, _>(to.to_datetime())
    .load(conn)?;
    let hours = hours.into_iter().map(|marked| marked.hour);
    Ok(hours.map(times::timestamp).collect())
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
