//! The comparison itself, from one bucket with anything in it to the next: years without events cost
//! nothing.

use adtally_domain::{AdId, Day, ReportingZone, Timestamp};
use chrono::{DateTime, NaiveDate, Utc};
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::{Date, Nullable, Timestamptz};

use super::walk::Walk;
use super::{AuditReport, Mismatch};
use crate::partitions::utc_day;
use crate::schema::ad_hourly_stats;
use crate::totals::{self, BucketKey, Change, Totals};
use crate::{DeadLetterFilter, Granularity, closed_hours, dead_letters, marks, settings, times};

/// Compares what overlaps `[from, to)`; the caller's transaction is the snapshot.
pub(super) fn all(
    conn: &mut PgConnection,
    zone: ReportingZone,
    from: Timestamp,
    to: Timestamp,
) -> QueryResult<AuditReport> {
    let raw_from = settings::raw_from(conn)?;
    let at = times::timestamp(times::now(conn)?);
    let (first, to) = (from.max(raw_from.unwrap_or(from)), to.min(at));
    let mut report = AuditReport {
        at,
        raw_from,
        hours_checked: 0,
        days_checked: 0,
        pending_hours: Vec::new(),
        pending_days: Vec::new(),
        mismatches: Vec::new(),
        missing_partitions: Vec::new(),
        closed_hours: Vec::new(),
        dead_letters: dead_letters::counts(conn, &DeadLetterFilter::default())?,
    };
    // An hour is whole or not at all: the one before raw_from has lost events.
    let first = match raw_from {
        Some(raw_from) if first == raw_from => raw_from,
        _ => zone.hour_of(first).start,
    };
    check_hours(conn, zone, first, to, &mut report)?;
    // A day that only begins before raw_from is still the sum of its hours.
    check_days(conn, zone, zone.day_of(first).start, to, &mut report)?;
    Ok(report)
}

fn check_hours(
    conn: &mut PgConnection,
    zone: ReportingZone,
    mut from: Timestamp,
    to: Timestamp,
    report: &mut AuditReport,
) -> QueryResult<()> {
    report.closed_hours = closed_hours::between(conn, from, to)?;
    let marked = marks::hours_between(conn, from, to)?;
    let pending = marked.iter().map(|start| zone.hour_of(*start));
    report
        .pending_hours
        .extend(pending.filter(|hour| hour.end <= report.at));
    let mut walk = Walk::start(conn)?;
    while let Some(next) = walk.next_instant(conn, from, to)? {
        let hour = zone.hour_of(next);
        if report.at < hour.end {
            break;
        }
        from = hour.end;
        check_stray_rows(conn, hour.start, hour.end, report)?;
        let expected = walk.raw(conn, hour)?;
        let found = totals::of(conn, BucketKey::Hour(hour.start))?;
        if !found.is_empty() && !walk.has_partition_of(hour) {
            report.missing_partitions.push(utc_day(hour.start));
        }
        let mut differences = differences(Granularity::Hour, hour.start, &expected, &found);
        if marked.binary_search(&hour.start).is_ok() {
            differences.retain(Mismatch::has_lost_events);
        } else {
            report.hours_checked += 1;
        }
        report.mismatches.append(&mut differences);
    }
    report.missing_partitions.dedup();
    Ok(())
}

/// Rows keyed by an instant at which no hour begins belong to nothing.
fn check_stray_rows(
    conn: &mut PgConnection,
    start: Timestamp,
    end: Timestamp,
    report: &mut AuditReport,
) -> QueryResult<()> {
    let keys: Vec<DateTime<Utc>> = ad_hourly_stats::table
        .filter(ad_hourly_stats::hour.gt(start.to_datetime()))
        .filter(ad_hourly_stats::hour.lt(end.to_datetime()))
        .select(ad_hourly_stats::hour)
        .distinct()
        .load(conn)?;
    for key in keys.into_iter().map(times::timestamp) {
        let found = totals::of(conn, BucketKey::Hour(key))?;
        let strays = differences(Granularity::Hour, key, &Totals::new(), &found);
        report.mismatches.extend(strays);
    }
    Ok(())
}

fn check_days(
    conn: &mut PgConnection,
    zone: ReportingZone,
    mut from: Timestamp,
    to: Timestamp,
    report: &mut AuditReport,
) -> QueryResult<()> {
    let marked = marks::days(conn)?;
    report.pending_days = pending_days(zone, &marked, report);
    while let Some(day) = next_day(conn, zone, from)? {
        if report.at < day.end || to <= day.start {
            break;
        }
        from = day.end;
        // A marked hour does not excuse its day: the day is still the sum of what its hours say.
        if marked.binary_search(&day.date).is_err() {
            let expected = totals::hourly_sum(conn, day.start, day.end)?;
            let found = totals::of(conn, BucketKey::Day(day.date))?;
            let differences = differences(Granularity::Day, day.start, &expected, &found);
            report.mismatches.extend(differences);
            report.days_checked += 1;
        }
    }
    Ok(())
}

fn pending_days(zone: ReportingZone, marked: &[NaiveDate], report: &AuditReport) -> Vec<Day> {
    let of_hours = report
        .pending_hours
        .iter()
        .map(|hour| zone.day_of(hour.start));
    let marked = marked.iter().filter_map(|date| zone.day(*date));
    let mut pending: Vec<Day> = marked
        .chain(of_hours)
        .filter(|day| day.end <= report.at)
        .collect();
    pending.sort_unstable();
    pending.dedup();
    pending
}

#[derive(QueryableByName)]
struct NextDay {
    #[diesel(sql_type = Nullable<Date>)]
    day: Option<NaiveDate>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    hour: Option<DateTime<Utc>>,
}

/// The first day from the instant `from` on that has a total, or an hour with one.
fn next_day(
    conn: &mut PgConnection,
    zone: ReportingZone,
    from: Timestamp,
) -> QueryResult<Option<Day>> {
    let next: NextDay = diesel::sql_query(
        "SELECT (SELECT min(day) FROM ad_daily_stats WHERE day >= $1) AS day, \
                (SELECT min(hour) FROM ad_hourly_stats WHERE hour >= $2) AS hour",
    )
    .bind::<Date, _>(zone.day_of(from).date)
    .bind::<Timestamptz, _>(from.to_datetime())
    .get_result(conn)?;
    let of_hour = next.hour.map(|hour| zone.day_of(times::timestamp(hour)));
    let of_day = next.day.and_then(|date| zone.day(date));
    Ok(of_day
        .into_iter()
        .chain(of_hour)
        .min_by_key(|day| day.start))
}

fn differences(
    granularity: Granularity,
    start: Timestamp,
    expected: &Totals,
    found: &Totals,
) -> Vec<Mismatch> {
    let changes = totals::changes(found, expected).into_iter();
    let mismatch = |change: Change| Mismatch {
        granularity,
        start,
        ad_id: AdId::new(change.ad_id),
        expected: change.new.unwrap_or_default(),
        found: change.old,
    };
    changes.map(mismatch).collect()
}

impl Mismatch {
    /// Whether the total counts more than its source has left.
    fn has_lost_events(&self) -> bool {
        self.found.missing_in(self.expected) > 0
    }
}
