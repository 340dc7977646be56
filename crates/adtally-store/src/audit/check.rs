//! The comparison itself, from one bucket with anything in it to the next: years without events cost
//! nothing.

use adtally_domain::{AdId, Day, EventId, ReportingZone, Timestamp};
use chrono::{DateTime, NaiveDate, Utc};
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::{Date, Nullable, Timestamptz, Uuid as SqlUuid};
use uuid::Uuid;

use super::{AuditReport, Mismatch};
use crate::rollup::{Totals, daily, hourly, hourly_sum, raw};
use crate::schema::ad_hourly_stats;
use crate::{DeadLetterFilter, Granularity, dead_letters, marks, settings, times};

/// Compares everything; the caller's transaction is the snapshot.
pub(super) fn all(conn: &mut PgConnection, zone: ReportingZone) -> QueryResult<AuditReport> {
    let raw_from = settings::raw_from(conn)?;
    let mut report = AuditReport {
        at: times::timestamp(times::now(conn)?),
        raw_from,
        hours_checked: 0,
        days_checked: 0,
        pending_hours: Vec::new(),
        pending_days: Vec::new(),
        mismatches: Vec::new(),
        dead_letters: dead_letters::counts(conn, &DeadLetterFilter::default())?,
    };
    let from = raw_from.unwrap_or(Timestamp::EPOCH);
    check_hours(conn, zone, from, &mut report)?;
    check_days(conn, zone, from, &mut report)?;
    Ok(report)
}

fn check_hours(
    conn: &mut PgConnection,
    zone: ReportingZone,
    mut from: Timestamp,
    report: &mut AuditReport,
) -> QueryResult<()> {
    let marked = marks::hours_between(conn, from, report.at)?;
    let pending = marked.iter().map(|start| zone.hour_of(*start));
    report
        .pending_hours
        .extend(pending.filter(|hour| hour.end <= report.at));
    while let Some(next) = next_event_or_hour(conn, from)? {
        let hour = zone.hour_of(next);
        if report.at < hour.end {
            break;
        }
        from = hour.end;
        check_stray_rows(conn, hour.start, hour.end, report)?;
        if marked.binary_search(&hour.start).is_err() {
            let expected = raw(conn, hour.start, hour.end)?;
            let found = hourly(conn, hour.start)?;
            compare(report, Granularity::Hour, hour.start, &expected, &found);
            report.hours_checked += 1;
        }
    }
    Ok(())
}

#[derive(QueryableByName)]
struct NextHour {
    #[diesel(sql_type = Nullable<SqlUuid>)]
    event_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    hour: Option<DateTime<Utc>>,
}

/// The first instant from `from` on that has an event or is the key of a total.
fn next_event_or_hour(conn: &mut PgConnection, from: Timestamp) -> QueryResult<Option<Timestamp>> {
    let next: NextHour = diesel::sql_query(
        "SELECT (SELECT event_id FROM events WHERE event_id >= $1 ORDER BY event_id LIMIT 1), \
                (SELECT min(hour) FROM ad_hourly_stats WHERE hour >= $2) AS hour",
    )
    .bind::<SqlUuid, _>(EventId::floor(from))
    .bind::<Timestamptz, _>(from.to_datetime())
    .get_result(conn)?;
    let event = next
        .event_id
        .and_then(EventId::from_uuid)
        .map(EventId::time);
    let hour = next.hour.map(times::timestamp);
    Ok(event.into_iter().chain(hour).min())
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
        let found = hourly(conn, key)?;
        compare(report, Granularity::Hour, key, &Totals::new(), &found);
    }
    Ok(())
}

fn check_days(
    conn: &mut PgConnection,
    zone: ReportingZone,
    from: Timestamp,
    report: &mut AuditReport,
) -> QueryResult<()> {
    let marked = marks::days(conn)?;
    report.pending_days = pending_days(zone, &marked, report);
    // A day that only begins before raw_from is still the sum of its hours.
    let mut from = zone.day_of(from).start;
    while let Some(day) = next_day(conn, zone, from)? {
        if report.at < day.end {
            break;
        }
        from = day.end;
        // A marked hour does not excuse its day: the day is still the sum of what its hours say.
        if marked.binary_search(&day.date).is_err() {
            let expected = hourly_sum(conn, day.start, day.end)?;
            let found = daily(conn, day.date)?;
            compare(report, Granularity::Day, day.start, &expected, &found);
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

fn compare(
    report: &mut AuditReport,
    granularity: Granularity,
    start: Timestamp,
    expected: &Totals,
    found: &Totals,
) {
    let mut ads: Vec<i64> = expected.keys().chain(found.keys()).copied().collect();
    ads.sort_unstable();
    ads.dedup();
    for ad_id in ads {
        let should = expected.get(&ad_id).copied();
        let is = found.get(&ad_id).copied();
        if should == is {
            continue;
        }
        let (should, is) = (should.unwrap_or_default(), is.unwrap_or_default());
        report.mismatches.push(Mismatch {
            granularity,
            start,
            ad_id: AdId::new(ad_id),
            expected_impressions: should.impressions,
            found_impressions: is.impressions,
            expected_clicks: should.clicks,
            found_clicks: is.clicks,
        });
    }
}
