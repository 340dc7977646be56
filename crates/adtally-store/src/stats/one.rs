//! One ad's totals, bucket by bucket.

use std::collections::HashMap;

use adtally_domain::{AdId, EventId, ReportingZone, Timestamp};
use chrono::{DateTime, NaiveDate, Utc};
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Uuid as SqlUuid};

use super::view::{Bucket, View};
use super::{Granularity, StatsRow, StatsSpan};
use crate::deadline::Deadline;
use crate::rollup::added;
use crate::schema::{ad_daily_stats, ad_hourly_stats};
use crate::{StoreError, times};

#[derive(Debug, Clone, Copy, Default, QueryableByName)]
struct Counts {
    #[diesel(sql_type = BigInt)]
    impressions: i64,
    #[diesel(sql_type = BigInt)]
    clicks: i64,
}

impl Counts {
    fn add(&mut self, more: Self) {
        self.impressions += more.impressions;
        self.clicks += more.clicks;
    }
}

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
            impressions: u64::try_from(counts.impressions).unwrap_or(0),
            clicks: u64::try_from(counts.clicks).unwrap_or(0),
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

/// Each bucket is looked up by the whole key, so the ad needs no index of its own.
fn kept_hours(
    conn: &mut PgConnection,
    ad_id: AdId,
    buckets: &[Bucket],
) -> QueryResult<HashMap<Timestamp, Counts>> {
    use ad_hourly_stats::dsl;
    let starts: Vec<DateTime<Utc>> = buckets.iter().map(|b| b.start.to_datetime()).collect();
    let rows: Vec<(DateTime<Utc>, i64, i64)> = dsl::ad_hourly_stats
        .filter(dsl::ad_id.eq(ad_id.get()))
        .filter(dsl::hour.eq_any(starts))
        .select((dsl::hour, dsl::impressions, dsl::clicks))
        .load(conn)?;
    let kept = rows.into_iter().map(|(hour, impressions, clicks)| {
        let counts = Counts {
            impressions,
            clicks,
        };
        (times::timestamp(hour), counts)
    });
    Ok(kept.collect())
}

fn kept_days(
    conn: &mut PgConnection,
    zone: ReportingZone,
    ad_id: AdId,
    buckets: &[Bucket],
) -> QueryResult<HashMap<Timestamp, Counts>> {
    use ad_daily_stats::dsl;
    let dates: Vec<NaiveDate> = buckets.iter().map(|b| zone.day_of(b.start).date).collect();
    let rows: Vec<(NaiveDate, i64, i64)> = dsl::ad_daily_stats
        .filter(dsl::ad_id.eq(ad_id.get()))
        .filter(dsl::day.eq_any(dates))
        .select((dsl::day, dsl::impressions, dsl::clicks))
        .load(conn)?;
    let kept = rows.into_iter().filter_map(|(day, impressions, clicks)| {
        let counts = Counts {
            impressions,
            clicks,
        };
        Some((zone.day(day)?.start, counts))
    });
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
    let only = Some(ad_id.get());
    let Some(added) = added(conn, hour.start, hour.end, view.now(), only)? else {
        return Ok(anew(conn, view, ad_id, hour)?);
    };
    let mut counts = kept;
    for more in added.into_values() {
        counts.add(Counts {
            impressions: more.impressions,
            clicks: more.clicks,
        });
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
        sum.add(if view.is_marked_hour(hour.start) {
            live_hour(conn, deadline, view, ad_id, hour, kept)?
        } else {
            kept
        });
    }
    Ok(sum)
}

/// A marked hour's counts: those of its raw events, or those that are kept where some are gone.
fn anew(conn: &mut PgConnection, view: &View, ad_id: AdId, hour: Bucket) -> QueryResult<Counts> {
    view.visit(conn, hour.start)?;
    let raw = raw(conn, ad_id, hour)?;
    if !view.is_over(hour.end) {
        return Ok(raw);
    }
    let kept = kept_hours(conn, ad_id, &[hour])?.remove(&hour.start);
    let kept = kept.unwrap_or_default();
    let is_whole = kept.impressions <= raw.impressions && kept.clicks <= raw.clicks;
    Ok(if is_whole { raw } else { kept })
}

fn raw(conn: &mut PgConnection, ad_id: AdId, hour: Bucket) -> QueryResult<Counts> {
    diesel::sql_query(
        "SELECT count(*) FILTER (WHERE kind = 0) AS impressions, \
                count(*) FILTER (WHERE kind = 1) AS clicks \
         FROM events WHERE event_id >= $1 AND event_id < $2 AND ad_id = $3",
    )
    .bind::<SqlUuid, _>(EventId::floor(hour.start))
    .bind::<SqlUuid, _>(EventId::floor(hour.end))
    .bind::<BigInt, _>(ad_id.get())
    .get_result(conn)
}
