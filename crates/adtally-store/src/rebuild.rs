//! Marks on demand, for whoever wants a range made anew.

use std::collections::BTreeSet;

use adtally_domain::{ReportingZone, Timestamp};
use chrono::{DateTime, NaiveDate, Utc};
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::{Array, Date, Timestamptz};

use crate::partitions::{self, utc_day};
use crate::{ClosedHour, Store, StoreError, closed_hours, settings, times};

/// What was marked of a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked {
    /// First instants of the hours, in order.
    pub hours: BTreeSet<Timestamp>,
    /// The days, in order.
    pub days: BTreeSet<NaiveDate>,
    /// Hours before this instant were passed over: their raw events were dropped.
    pub raw_from: Option<Timestamp>,
}

impl Store {
    /// Marks the hours and days that overlap `[from, to)` and are over. Hours without events and totals
    /// are passed over where that is cheap to tell.
    ///
    /// # Errors
    /// The transient ones.
    pub async fn mark_range(
        &self,
        zone: ReportingZone,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Marked, StoreError> {
        self.run(move |conn| Ok(conn.transaction(|conn| mark(conn, zone, from, to))?))
            .await
    }

    /// The hours in `[from, to)` whose totals stand because their raw events are gone, in order.
    ///
    /// # Errors
    /// The transient ones.
    pub async fn closed_hours(
        &self,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<ClosedHour>, StoreError> {
        self.run(move |conn| Ok(closed_hours::between(conn, from, to)?))
            .await
    }
}

fn mark(
    conn: &mut PgConnection,
    zone: ReportingZone,
    from: Timestamp,
    to: Timestamp,
) -> QueryResult<Marked> {
    let now = times::timestamp(times::now(conn)?);
    let raw_from = settings::raw_from(conn)?;
    let to = to.min(now);
    let (with_events, with_totals) = (
        partitions::days(conn)?,
        hours_with_totals(conn, zone.hour_of(from).start, to)?,
    );
    let is_kept = |start: Timestamp| raw_from.is_none_or(|raw_from| raw_from <= start);
    let hours: BTreeSet<Timestamp> = zone
        .hours(from, to)
        .filter(|hour| hour.end <= now && is_kept(hour.start))
        .filter(|hour| {
            let last = utc_day(hour.end.saturating_add_millis(-1));
            with_events.contains(&utc_day(hour.start))
                || with_events.contains(&last)
                || with_totals.contains(&hour.start)
        })
        .map(|hour| hour.start)
        .collect();
    let days: BTreeSet<NaiveDate> = zone
        .days(from, to)
        .filter(|day| day.end <= now && is_kept(day.end.saturating_add_millis(-1)))
        .map(|day| day.date)
        .collect();
    insert(conn, &hours, &days)?;
    Ok(Marked {
        hours,
        days,
        raw_from,
    })
}

fn insert(
    conn: &mut PgConnection,
    hours: &BTreeSet<Timestamp>,
    days: &BTreeSet<NaiveDate>,
) -> QueryResult<()> {
    let hours: Vec<DateTime<Utc>> = hours.iter().map(|hour| hour.to_datetime()).collect();
    diesel::sql_query("INSERT INTO dirty_hours (hour) SELECT unnest($1)")
        .bind::<Array<Timestamptz>, _>(hours)
        .execute(conn)?;
    let days: Vec<NaiveDate> = days.iter().copied().collect();
    diesel::sql_query("INSERT INTO dirty_days (day) SELECT unnest($1)")
        .bind::<Array<Date>, _>(days)
        .execute(conn)
        .map(drop)
}

#[derive(QueryableByName)]
struct Total {
    #[diesel(sql_type = Timestamptz)]
    hour: DateTime<Utc>,
}

/// The keys of hourly totals in `[from, to)`, found by steps along the index: each hour has a row for
/// each ad.
pub(crate) fn hours_with_totals(
    conn: &mut PgConnection,
    from: Timestamp,
    to: Timestamp,
) -> QueryResult<BTreeSet<Timestamp>> {
    let hours: Vec<Total> = diesel::sql_query(
        "WITH RECURSIVE total AS ( \
             SELECT min(hour) AS hour FROM ad_hourly_stats WHERE hour >= $1 AND hour < $2 \
             UNION ALL \
             SELECT (SELECT min(hour) FROM ad_hourly_stats WHERE hour > total.hour AND hour < $2) \
             FROM total WHERE total.hour IS NOT NULL) \
         SELECT hour FROM total WHERE hour IS NOT NULL",
    )
    .bind::<Timestamptz, _>(from.to_datetime())
    .bind::<Timestamptz, _>(to.to_datetime())
    .load(conn)?;
    let hours = hours.into_iter().map(|total| times::timestamp(total.hour));
    Ok(hours.collect())
}
