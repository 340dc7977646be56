//! The way from one hour with anything in it to the next, over any number of partitions.
//!
//! A statement that names no last id plans and locks every partition behind the first, and a lock is
//! kept until its transaction ends. So each search is bounded to one partition, and the locks are let
//! go whenever the next partition is looked at. The lock on `events` itself stays, and with it the
//! partitions.

use std::collections::BTreeSet;

use adtally_domain::{EventId, Hour, Timestamp};
use chrono::{DateTime, NaiveDate, Utc};
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::Uuid as SqlUuid;
use uuid::Uuid;

use crate::partitions::{self, Visits, utc_day};
use crate::schema::ad_hourly_stats;
use crate::times;
use crate::totals::{self, Totals};

pub(super) struct Walk {
    /// The UTC days that have a partition.
    partitions: BTreeSet<NaiveDate>,
    visits: Visits,
}

impl Walk {
    pub(super) fn start(conn: &mut PgConnection) -> QueryResult<Self> {
        Ok(Self {
            partitions: partitions::days(conn)?,
            visits: Visits::default(),
        })
    }

    /// Whether the partition of `hour` is there, or one of both.
    pub(super) fn has_partition_of(&self, hour: Hour) -> bool {
        let last = hour.end.saturating_add_millis(-1);
        [hour.start, last]
            .iter()
            .any(|time| self.partitions.contains(&utc_day(*time)))
    }

    /// The raw events of `hour`, by ad.
    pub(super) fn raw(&mut self, conn: &mut PgConnection, hour: Hour) -> QueryResult<Totals> {
        self.visits.next(conn, utc_day(hour.start))?;
        totals::raw(conn, hour.start, hour.end)
    }

    /// The first instant in `[from, to)` that has an event or is the key of a total.
    pub(super) fn next_instant(
        &mut self,
        conn: &mut PgConnection,
        from: Timestamp,
        to: Timestamp,
    ) -> QueryResult<Option<Timestamp>> {
        let total: Option<DateTime<Utc>> = ad_hourly_stats::table
            .filter(ad_hourly_stats::hour.ge(from.to_datetime()))
            .filter(ad_hourly_stats::hour.lt(to.to_datetime()))
            .select(diesel::dsl::min(ad_hourly_stats::hour))
            .first(conn)?;
        let total = total.map(times::timestamp);
        let event = self.next_event(conn, from, total.unwrap_or(to))?;
        Ok(event.or(total))
    }

    fn next_event(
        &mut self,
        conn: &mut PgConnection,
        from: Timestamp,
        to: Timestamp,
    ) -> QueryResult<Option<Timestamp>> {
        if to <= from {
            return Ok(None);
        }
        let last = utc_day(to.saturating_add_millis(-1));
        for day in self.partitions.range(utc_day(from)..=last) {
            self.visits.next(conn, *day)?;
            let end = partitions::end_of(*day).min(to);
            let start = partitions::start_of(*day).max(from);
            if let Some(id) = first_event(conn, start, end)? {
                return Ok(Some(id.time()));
            }
        }
        Ok(None)
    }
}

#[derive(QueryableByName)]
struct First {
    #[diesel(sql_type = SqlUuid)]
    event_id: Uuid,
}

fn first_event(
    conn: &mut PgConnection,
    from: Timestamp,
    to: Timestamp,
) -> QueryResult<Option<EventId>> {
    let first: Option<First> = diesel::sql_query(
        "SELECT event_id FROM events WHERE event_id >= $1 AND event_id < $2 \
         ORDER BY event_id LIMIT 1",
    )
    .bind::<SqlUuid, _>(EventId::floor(from))
    .bind::<SqlUuid, _>(EventId::floor(to))
    .get_result(conn)
    .optional()?;
    Ok(first.and_then(|first| EventId::from_uuid(first.event_id)))
}
