//! Marks on demand, for a range that is to be made anew.

use std::collections::BTreeSet;

use adtally_domain::{ReportingZone, Timestamp};
use chrono::NaiveDate;
use diesel::pg::PgConnection;
use diesel::prelude::*;

use crate::partitions::{self, utc_day};
use crate::{ClosedHour, Store, StoreError, closed_hours, marks, settings, times, totals};

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
        totals::hours_between(conn, zone.hour_of(from).start, to)?,
    );
    let is_kept = |start: Timestamp| raw_from.is_none_or(|raw_from| raw_from <= start);
    let hours: BTreeSet<Timestamp> = zone
        .hours(from, to)
        .filter(|hour| hour.end <= now && is_kept(hour.start))
        .filter(|hour| {
            let last = utc_day(hour.end.saturating_add_millis(-1));
            with_events.contains(&utc_day(hour.start))
                || with_events.contains(&last)
                || with_totals.binary_search(&hour.start).is_ok()
        })
        .map(|hour| hour.start)
        .collect();
    let days: BTreeSet<NaiveDate> = zone
        .days(from, to)
        .filter(|day| day.end <= now && is_kept(day.end.saturating_add_millis(-1)))
        .map(|day| day.date)
        .collect();
    marks::append_hours(conn, &hours)?;
    marks::append_days(conn, &days)?;
    Ok(Marked {
        hours,
        days,
        raw_from,
    })
}
