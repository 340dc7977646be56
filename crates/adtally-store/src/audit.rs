//! The audit: every total that is over, recomputed and compared in one snapshot.

use adtally_domain::{AdId, Day, EventId, Hour, ReportingZone, Timestamp};
use chrono::{DateTime, NaiveDate, Utc};
use diesel::dsl::{max, min, sql};
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::{Nullable, Uuid as SqlUuid};
use uuid::Uuid;

use crate::rollup::{Totals, daily, hourly, hourly_sum, raw};
use crate::schema::{ad_daily_stats, ad_hourly_stats};
use crate::{
    DeadLetterCount, Granularity, Store, StoreError, dead_letters, marks, settings, times,
};

/// A total that is not what its source adds up to, in a bucket no roll-up is waiting for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// Hours are compared with raw events, days with their hours.
    pub granularity: Granularity,
    /// The bucket's first instant.
    pub start: Timestamp,
    /// The ad; `None` for a row whose ad is no valid id.
    pub ad_id: Option<AdId>,
    /// Impressions the source adds up to.
    pub expected_impressions: i64,
    /// Impressions the table has.
    pub found_impressions: i64,
    /// Clicks the source adds up to.
    pub expected_clicks: i64,
    /// Clicks the table has.
    pub found_clicks: i64,
}

/// What an audit found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditReport {
    /// The database's clock at the snapshot: only buckets that were over then are compared.
    pub at: Timestamp,
    /// Buckets before this instant were skipped, as their raw events were dropped.
    pub raw_from: Option<Timestamp>,
    /// Hours that were compared.
    pub hours_checked: u64,
    /// Days that were compared.
    pub days_checked: u64,
    /// Hours that are over and wait for a roll-up.
    pub pending_hours: Vec<Hour>,
    /// Days that are over and wait for a roll-up, their own or that of one of their hours.
    pub pending_days: Vec<Day>,
    /// Totals that are wrong. Empty in a healthy database.
    pub mismatches: Vec<Mismatch>,
    /// Dead letters by reason and state.
    pub dead_letters: Vec<DeadLetterCount>,
}

impl Store {
    /// Compares every hour that is over with its raw events, and every day that is over with its
    /// hours, in one snapshot. It may take long, and is bounded by no call time-out.
    ///
    /// # Errors
    /// The transient ones.
    pub async fn audit(&self, zone: ReportingZone) -> Result<AuditReport, StoreError> {
        self.run_unbounded(move |conn| {
            conn.build_transaction()
                .repeatable_read()
                .read_only()
                .run(|conn| Ok(audit(conn, zone)?))
        })
        .await
    }
}

fn audit(conn: &mut PgConnection, zone: ReportingZone) -> QueryResult<AuditReport> {
    let at = times::timestamp(times::now(conn)?);
    let raw_from = settings::raw_from(conn)?;
    let mut report = AuditReport {
        at,
        raw_from,
        hours_checked: 0,
        days_checked: 0,
        pending_hours: Vec::new(),
        pending_days: Vec::new(),
        mismatches: Vec::new(),
        dead_letters: dead_letters::counts(conn)?,
    };
    if let Some((first, last)) = extent(conn, zone)? {
        let first = raw_from.map_or(first, |raw_from| raw_from.max(first));
        check_hours(conn, zone, first, last, &mut report)?;
        check_days(conn, zone, first, last, &mut report)?;
    }
    Ok(report)
}

/// From the first to the last instant that any event or total is about.
fn extent(
    conn: &mut PgConnection,
    zone: ReportingZone,
) -> QueryResult<Option<(Timestamp, Timestamp)>> {
    let edge = |name| sql::<Nullable<SqlUuid>>(name);
    let (first, last): (Option<Uuid>, Option<Uuid>) = diesel::select((
        edge("(SELECT event_id FROM events ORDER BY event_id LIMIT 1)"),
        edge("(SELECT event_id FROM events ORDER BY event_id DESC LIMIT 1)"),
    ))
    .get_result(conn)?;
    let events = [first, last].into_iter().flatten();
    let events = events.filter_map(|id| Some(EventId::from_uuid(id)?.time()));

    let hours: (Option<DateTime<Utc>>, Option<DateTime<Utc>>) = ad_hourly_stats::table
        .select((min(ad_hourly_stats::hour), max(ad_hourly_stats::hour)))
        .first(conn)?;
    let hours = [hours.0, hours.1]
        .into_iter()
        .flatten()
        .map(times::timestamp);

    let days: (Option<NaiveDate>, Option<NaiveDate>) = ad_daily_stats::table
        .select((min(ad_daily_stats::day), max(ad_daily_stats::day)))
        .first(conn)?;
    let days = [days.0, days.1].into_iter().flatten();
    let days = days.filter_map(|date| zone.day(date).map(|day| day.start));

    let times: Vec<Timestamp> = events.chain(hours).chain(days).collect();
    Ok(times.iter().min().copied().zip(times.iter().max().copied()))
}

fn check_hours(
    conn: &mut PgConnection,
    zone: ReportingZone,
    first: Timestamp,
    last: Timestamp,
    report: &mut AuditReport,
) -> QueryResult<()> {
    let end = zone.day_of(last).end;
    let marked = marks::hours_between(conn, first, end)?;
    let at = report.at;
    for hour in zone.hours(first, end).take_while(|hour| hour.end <= at) {
        if marked.binary_search(&hour.start).is_ok() {
            report.pending_hours.push(hour);
            continue;
        }
        let expected = raw(conn, hour.start, hour.end)?;
        let found = hourly(conn, hour.start)?;
        compare(report, Granularity::Hour, hour.start, &expected, &found);
        report.hours_checked += 1;
    }
    check_stray_hours(conn, zone, first, report)
}

/// Rows keyed by an instant at which no hour begins belong to nothing.
fn check_stray_hours(
    conn: &mut PgConnection,
    zone: ReportingZone,
    first: Timestamp,
    report: &mut AuditReport,
) -> QueryResult<()> {
    let keys: Vec<DateTime<Utc>> = ad_hourly_stats::table
        .filter(ad_hourly_stats::hour.ge(first.to_datetime()))
        .select(ad_hourly_stats::hour)
        .distinct()
        .load(conn)?;
    for start in keys.into_iter().map(times::timestamp) {
        if zone.hour_starting(start).is_none() {
            let found = hourly(conn, start)?;
            compare(report, Granularity::Hour, start, &Totals::new(), &found);
        }
    }
    Ok(())
}

fn check_days(
    conn: &mut PgConnection,
    zone: ReportingZone,
    first: Timestamp,
    last: Timestamp,
    report: &mut AuditReport,
) -> QueryResult<()> {
    let end = zone.day_of(last).end;
    let marked = marks::days(conn)?;
    let at = report.at;
    for day in zone.days(first, end).take_while(|day| day.end <= at) {
        let is_pending = marked.binary_search(&day.date).is_ok()
            || report
                .pending_hours
                .iter()
                .any(|hour| day.start <= hour.start && hour.start < day.end);
        if is_pending {
            report.pending_days.push(day);
        }
        if marked.binary_search(&day.date).is_ok() {
            continue;
        }
        // A marked hour does not excuse its day: the day is still the sum of what its hours say.
        let expected = hourly_sum(conn, day.start, day.end)?;
        let found = daily(conn, day.date)?;
        compare(report, Granularity::Day, day.start, &expected, &found);
        report.days_checked += 1;
    }
    Ok(())
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
