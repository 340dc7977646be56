//! What a reader must know of a span before its numbers: the time, and what is marked.

use std::cell::RefCell;
use std::collections::BTreeSet;

use adtally_domain::{Day, ReportingZone, Timestamp};
use chrono::NaiveDate;
use diesel::pg::PgConnection;
use diesel::result::QueryResult;

use super::bucket::Bucket;
use super::{BucketStatus, Granularity, StatsSpan, live};
use crate::deadline::Deadline;
use crate::partitions::{Visits, utc_day};
use crate::totals::{self, Totals};
use crate::{StoreError, closed_hours, marks, settings, times};

/// The marks of a span, as of one snapshot.
pub(super) struct View {
    pub(super) zone: ReportingZone,
    span: StatsSpan,
    now: Timestamp,
    hours: BTreeSet<Timestamp>,
    days: BTreeSet<NaiveDate>,
    visits: RefCell<Visits>,
}

/// Runs `read` so that all its queries see the same data.
pub(super) fn snapshot<T>(
    conn: &mut PgConnection,
    deadline: &Deadline,
    read: impl FnOnce(&mut PgConnection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    conn.build_transaction()
        .repeatable_read()
        .read_only()
        .run(|conn| {
            deadline.bound(conn)?;
            read(conn)
        })
}

impl View {
    pub(super) fn load(
        conn: &mut PgConnection,
        zone: ReportingZone,
        span: StatsSpan,
    ) -> QueryResult<Self> {
        let now = times::timestamp(times::now(conn)?);
        // Whole days, so that a day knows of all its hours.
        let (from, to) = (zone.day_of(span.from).start, zone.day_of(span.to).end);
        let mut hours: BTreeSet<_> = marks::hours_between(conn, from, to)?.into_iter().collect();
        let days = match span.granularity {
            Granularity::Hour => BTreeSet::new(),
            Granularity::Day => marks::days(conn)?.into_iter().collect(),
        };
        // What was closed is not counted anew, marked or not.
        if let Some(raw_from) = settings::raw_from(conn)? {
            hours = hours.split_off(&raw_from);
        }
        for closed in closed_hours::starts_between(conn, from, to)? {
            hours.remove(&closed);
        }
        Ok(Self {
            zone,
            span,
            now,
            hours,
            days,
            visits: RefCell::default(),
        })
    }

    /// Whether there is more to a bucket's numbers than what is kept.
    pub(super) fn is_marked(&self, bucket: Bucket) -> bool {
        match self.span.granularity {
            Granularity::Hour => self.is_marked_hour(bucket.start),
            Granularity::Day => {
                self.days.contains(&self.zone.day_of(bucket.start).date)
                    || self.hours.range(bucket.start..bucket.end).next().is_some()
            }
        }
    }

    /// The database's clock at the snapshot.
    pub(super) const fn now(&self) -> Timestamp {
        self.now
    }

    /// Whether there is more to the hour that begins at `start` than what is kept.
    pub(super) fn is_marked_hour(&self, start: Timestamp) -> bool {
        self.hours.contains(&start)
    }

    pub(super) fn status(&self, bucket: Bucket) -> BucketStatus {
        let wait = i64::try_from(self.span.final_after.as_millis()).unwrap_or(i64::MAX);
        if self.now < bucket.end || self.is_marked(bucket) {
            BucketStatus::Open
        } else if self.now < bucket.end.saturating_add_millis(wait) {
            BucketStatus::Provisional
        } else {
            BucketStatus::Final
        }
    }

    /// The bucket that holds `time`.
    pub(super) fn bucket_of(&self, time: Timestamp) -> Bucket {
        match self.span.granularity {
            Granularity::Hour => {
                let hour = self.zone.hour_of(time);
                Bucket {
                    start: hour.start,
                    end: hour.end,
                }
            }
            Granularity::Day => bucket(self.zone.day_of(time)),
        }
    }

    /// The marked buckets of the span, in order.
    pub(super) fn marked(&self) -> BTreeSet<Bucket> {
        let days = self.days.iter().filter_map(|date| self.zone.day(*date));
        let of_days = days.map(bucket);
        let of_hours = self.hours.iter().map(|start| self.bucket_of(*start));
        of_days
            .chain(of_hours)
            .filter(|bucket| bucket.start < self.span.to && self.span.from < bucket.end)
            .collect()
    }

    /// Comes to the raw events of the hour that begins at `start`.
    pub(super) fn visit(&self, conn: &mut PgConnection, start: Timestamp) -> QueryResult<()> {
        self.visits.borrow_mut().next(conn, utc_day(start))
    }

    /// A marked bucket's totals as of now, of ads with ids above `after`. Those behind the first `limit` may
    /// be missing or too low.
    pub(super) fn live(
        &self,
        conn: &mut PgConnection,
        deadline: &Deadline,
        bucket: Bucket,
        after: i64,
        limit: usize,
    ) -> Result<Totals, StoreError> {
        deadline.check()?;
        if self.span.granularity == Granularity::Hour {
            self.visit(conn, bucket.start)?;
            return Ok(live::of_hour(conn, bucket, self.now, after, limit)?);
        }
        let mut sum = Totals::new();
        let mut from = bucket.start;
        for start in self.hours.range(bucket.start..bucket.end) {
            deadline.check()?;
            totals::sum(&mut sum, totals::hourly_sum(conn, from, *start)?);
            let hour = Bucket {
                start: *start,
                end: self.zone.hour_of(*start).end,
            };
            from = hour.end;
            self.visit(conn, hour.start)?;
            let of_hour = live::of_hour(conn, hour, self.now, 0, usize::MAX)?;
            totals::sum(&mut sum, of_hour);
        }
        totals::sum(&mut sum, totals::hourly_sum(conn, from, bucket.end)?);
        Ok(sum)
    }
}

const fn bucket(day: Day) -> Bucket {
    Bucket {
        start: day.start,
        end: day.end,
    }
}
