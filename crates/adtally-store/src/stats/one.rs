//! One ad's totals, bucket by bucket.

use std::collections::HashMap;

use adtally_domain::{AdId, ReportingZone, Timestamp};
use diesel::pg::PgConnection;
use diesel::result::QueryResult;

use super::bucket::Bucket;
use super::live;
use super::view::View;
use super::{Granularity, StatsRow, StatsSpan};
use crate::StoreError;
use crate::deadline::Deadline;
use crate::totals::{self, Counts};

pub(super) fn rows(
    conn: &mut PgConnection,
    deadline: &Deadline,
    zone: ReportingZone,
    ad_id: AdId,
    span: StatsSpan,
) -> Result<Vec<StatsRow>, StoreError> {
    let view = View::load(conn, zone, span)?;
    let buckets = buckets(zone, span);
    let kept = match span.granularity {
        Granularity::Hour => kept_hours(conn, ad_id, &buckets)?,
        Granularity::Day => kept_days(conn, zone, ad_id, &buckets)?,
    };
    let mut rows = Vec::with_capacity(buckets.len());
    for bucket in buckets {
        let kept = kept.get(&bucket.start).copied().unwrap_or_default();
        let counts = match span.granularity {
            _ if !view.is_marked(bucket) => kept,
            Granularity::Hour => live_hour(conn, deadline, &view, ad_id, bucket, kept)?,
            Granularity::Day => live_day(conn, deadline, &view, ad_id, bucket)?,
        };
        rows.push(StatsRow {
            ad_id,
            start: bucket.start,
            end: bucket.end,
            counts,
            status: view.status(bucket),
        });
    }
    Ok(rows)
}

fn buckets(zone: ReportingZone, span: StatsSpan) -> Vec<Bucket> {
    match span.granularity {
        Granularity::Hour => zone
            .hours(span.from, span.to)
            .map(|hour| Bucket {
                start: hour.start,
                end: hour.end,
            })
            .collect(),
        Granularity::Day => zone
            .days(span.from, span.to)
            .map(|day| Bucket {
                start: day.start,
                end: day.end,
            })
            .collect(),
    }
}

fn kept_hours(
    conn: &mut PgConnection,
    ad_id: AdId,
    buckets: &[Bucket],
) -> QueryResult<HashMap<Timestamp, Counts>> {
    let starts = buckets.iter().map(|bucket| bucket.start);
    let kept = totals::hours_of_ad(conn, ad_id, starts)?;
    Ok(kept.into_iter().collect())
}

fn kept_days(
    conn: &mut PgConnection,
    zone: ReportingZone,
    ad_id: AdId,
    buckets: &[Bucket],
) -> QueryResult<HashMap<Timestamp, Counts>> {
    let dates = buckets.iter().map(|b| zone.day_of(b.start).date).collect();
    let kept = totals::days_of_ad(conn, ad_id, dates)?.into_iter();
    let kept = kept.filter_map(|(date, counts)| Some((zone.day(date)?.start, counts)));
    Ok(kept.collect())
}

/// The counts of an hour that has marks, where `kept` is what its table says.
fn live_hour(
    conn: &mut PgConnection,
    deadline: &Deadline,
    view: &View,
    ad_id: AdId,
    hour: Bucket,
    kept: Counts,
) -> Result<Counts, StoreError> {
    deadline.check()?;
    let Some(added) = live::added(conn, hour, view.now(), Some(ad_id))? else {
        view.visit(conn, hour.start)?;
        return Ok(live::anew_of_ad(conn, ad_id, hour, view.now(), kept)?);
    };
    let mut counts = kept;
    for more in added.into_values() {
        counts += more;
    }
    Ok(counts)
}

/// The counts of a day that has marks: the sum of its hours.
fn live_day(
    conn: &mut PgConnection,
    deadline: &Deadline,
    view: &View,
    ad_id: AdId,
    day: Bucket,
) -> Result<Counts, StoreError> {
    let hours: Vec<Bucket> = view
        .zone
        .hours(day.start, day.end)
        .map(|hour| Bucket {
            start: hour.start,
            end: hour.end,
        })
        .collect();
    let kept = kept_hours(conn, ad_id, &hours)?;
    let mut sum = Counts::default();
    for hour in hours {
        let kept = kept.get(&hour.start).copied().unwrap_or_default();
        sum += if view.is_marked_hour(hour.start) {
            live_hour(conn, deadline, view, ad_id, hour, kept)?
        } else {
            kept
        };
    }
    Ok(sum)
}
