//! Marks: the hours and days that changed since their last roll-up, and by how much.
//!
//! - The transaction that inserts events appends a mark for each of their hours. The mark says what they add
//!   to the totals ([`Added`]).
//! - The transaction that deletes a mark has counted its events into the totals.
//!
//! So in each snapshot, the totals kept for an hour and what its marks add are exactly its events. A mark may
//! say nothing: an older build or a person wrote it. Then the hour is counted from its events.

mod added;

use std::collections::BTreeSet;

use adtally_domain::Timestamp;
use chrono::{DateTime, NaiveDate, Utc};
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::{Array, Date, Timestamptz};

use crate::schema::{dirty_days, dirty_hours};
use crate::totals::Totals;
use crate::{Store, StoreError, loose_scan};

pub(crate) use added::{Added, add_to};

/// Marks `hours`, by their first instants, to be counted from their events.
pub(crate) fn append_hours(
    conn: &mut PgConnection,
    hours: &BTreeSet<Timestamp>,
) -> QueryResult<()> {
    let hours: Vec<DateTime<Utc>> = hours.iter().map(|hour| hour.to_datetime()).collect();
    diesel::sql_query("INSERT INTO dirty_hours (hour) SELECT unnest($1)")
        .bind::<Array<Timestamptz>, _>(hours)
        .execute(conn)
        .map(drop)
}

pub(crate) fn append_days(conn: &mut PgConnection, days: &BTreeSet<NaiveDate>) -> QueryResult<()> {
    let days: Vec<NaiveDate> = days.iter().copied().collect();
    diesel::sql_query("INSERT INTO dirty_days (day) SELECT unnest($1)")
        .bind::<Array<Date>, _>(days)
        .execute(conn)
        .map(drop)
}

pub(crate) fn append_day(conn: &mut PgConnection, day: NaiveDate) -> QueryResult<usize> {
    diesel::insert_into(dirty_days::table)
        .values(dirty_days::day.eq(day))
        .execute(conn)
}

/// The hours that are marked in `[from, to)`, in order. One that runs has a mark for each batch.
pub(crate) fn hours_between(
    conn: &mut PgConnection,
    from: Timestamp,
    to: Timestamp,
) -> QueryResult<Vec<Timestamp>> {
    loose_scan::hours(conn, "dirty_hours", from, to)
}

/// What the marks of the hour `[from, to)` add to the totals kept for it; of the ad `only`, if one is given.
/// `None` when one of them does not say.
pub(crate) fn added(
    conn: &mut PgConnection,
    from: Timestamp,
    to: Timestamp,
    only: Option<i64>,
) -> QueryResult<Option<Totals>> {
    let marks: Vec<(DateTime<Utc>, Option<Vec<u8>>)> = dirty_hours::table
        .filter(dirty_hours::hour.ge(from.to_datetime()))
        .filter(dirty_hours::hour.lt(to.to_datetime()))
        .select((dirty_hours::hour, dirty_hours::added))
        .load(conn)?;
    let mut totals = Totals::new();
    for (hour, added) in marks {
        // One that stands where no hour starts was made under other rules of the zone.
        let added = added.filter(|_| hour == from.to_datetime());
        let read = added.and_then(|added| add_to(&mut totals, &added, only));
        if read.is_none() {
            return Ok(None);
        }
    }
    Ok(Some(totals))
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
