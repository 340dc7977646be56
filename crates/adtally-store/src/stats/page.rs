//! All ads' totals, some rows at a time.

use adtally_domain::{AdId, ReportingZone, Timestamp};
use chrono::{DateTime, NaiveDate, Utc};
use diesel::pg::PgConnection;
use diesel::prelude::*;

use super::view::{Bucket, View};
use super::{Granularity, StatsCursor, StatsPage, StatsRow, StatsSpan};
use crate::deadline::Deadline;
use crate::schema::{ad_daily_stats, ad_hourly_stats};
use crate::{StoreError, times};

/// A row before it is known how far its bucket may change: the bucket's start, ad, counts.
type Found = (Timestamp, i64, i64, i64);

pub(super) fn page(
    conn: &mut PgConnection,
    deadline: &Deadline,
    zone: ReportingZone,
    span: StatsSpan,
    after: Option<StatsCursor>,
    limit: u32,
) -> Result<StatsPage, StoreError> {
    let view = View::load(conn, zone, span)?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX).max(1);
    let mut rows = Vec::new();
    if span.from < span.to {
        // One row more than asked for tells whether there are more.
        rows = collect(conn, deadline, &view, span, after, limit.saturating_add(1))?;
    }
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|row| StatsCursor {
        start: row.start,
        ad_id: row.ad_id,
    });
    Ok(StatsPage { rows, next })
}

/// Walks the span: kept rows up to each marked bucket, then that bucket counted anew.
fn collect(
    conn: &mut PgConnection,
    deadline: &Deadline,
    view: &View,
    span: StatsSpan,
    after: Option<StatsCursor>,
    wanted: usize,
) -> Result<Vec<StatsRow>, StoreError> {
    let mut rows = Vec::new();
    let mut from = view.bucket_of(span.from).start;
    if let Some(after) = after {
        from = from.max(view.bucket_of(after.start).start);
    }
    for bucket in view.marked() {
        if bucket.start < from {
            continue;
        }
        let kept = kept(
            conn,
            view,
            span.granularity,
            from,
            bucket.start,
            after,
            wanted - rows.len(),
        )?;
        rows.extend(kept.into_iter().filter_map(|found| row(view, found)));
        if rows.len() >= wanted {
            return Ok(rows);
        }
        let missing = wanted - rows.len();
        rows.extend(live(conn, deadline, view, bucket, after, missing)?);
        rows.truncate(wanted);
        from = bucket.end;
    }
    let kept = kept(
        conn,
        view,
        span.granularity,
        from,
        span.to,
        after,
        wanted - rows.len(),
    )?;
    rows.extend(kept.into_iter().filter_map(|found| row(view, found)));
    Ok(rows)
}

fn row(view: &View, (start, ad_id, impressions, clicks): Found) -> Option<StatsRow> {
    let bucket = view.bucket_of(start);
    Some(StatsRow {
        ad_id: AdId::new(ad_id)?,
        start: bucket.start,
        end: bucket.end,
        impressions: u64::try_from(impressions).unwrap_or(0),
        clicks: u64::try_from(clicks).unwrap_or(0),
        status: view.status(bucket),
    })
}

/// The first `wanted` rows of a marked bucket behind `after`.
fn live(
    conn: &mut PgConnection,
    deadline: &Deadline,
    view: &View,
    bucket: Bucket,
    after: Option<StatsCursor>,
    wanted: usize,
) -> Result<Vec<StatsRow>, StoreError> {
    let after = match after {
        Some(after) if bucket.start < after.start => return Ok(Vec::new()),
        Some(after) if bucket.start == after.start => after.ad_id.get(),
        _ => 0,
    };
    let totals = view.live(conn, deadline, bucket, after, wanted)?;
    let rows = totals
        .into_iter()
        .filter(|(ad_id, _)| *ad_id > after)
        .take(wanted)
        .filter_map(|(ad_id, counts)| {
            row(
                view,
                (bucket.start, ad_id, counts.impressions, counts.clicks),
            )
        });
    Ok(rows.collect())
}

/// The kept rows of the buckets that begin in `[from, to)`, behind `after`.
fn kept(
    conn: &mut PgConnection,
    view: &View,
    granularity: Granularity,
    from: Timestamp,
    to: Timestamp,
    after: Option<StatsCursor>,
    limit: usize,
) -> QueryResult<Vec<Found>> {
    if from >= to || limit == 0 {
        return Ok(Vec::new());
    }
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    match granularity {
        Granularity::Hour => kept_hours(conn, from, to, after, limit),
        Granularity::Day => kept_days(conn, view.zone, from, to, after, limit),
    }
}

fn kept_hours(
    conn: &mut PgConnection,
    from: Timestamp,
    to: Timestamp,
    after: Option<StatsCursor>,
    limit: i64,
) -> QueryResult<Vec<Found>> {
    use ad_hourly_stats::dsl;
    let mut query = dsl::ad_hourly_stats
        .filter(dsl::hour.ge(from.to_datetime()))
        .filter(dsl::hour.lt(to.to_datetime()))
        .order((dsl::hour, dsl::ad_id))
        .limit(limit)
        .select((dsl::hour, dsl::ad_id, dsl::impressions, dsl::clicks))
        .into_boxed();
    if let Some(after) = after {
        let hour = after.start.to_datetime();
        let same_hour = dsl::hour.eq(hour).and(dsl::ad_id.gt(after.ad_id.get()));
        query = query.filter(dsl::hour.gt(hour).or(same_hour));
    }
    let rows: Vec<(DateTime<Utc>, i64, i64, i64)> = query.load(conn)?;
    let found = rows.into_iter().map(|(hour, ad_id, impressions, clicks)| {
        (times::timestamp(hour), ad_id, impressions, clicks)
    });
    Ok(found.collect())
}

fn kept_days(
    conn: &mut PgConnection,
    zone: ReportingZone,
    from: Timestamp,
    to: Timestamp,
    after: Option<StatsCursor>,
    limit: i64,
) -> QueryResult<Vec<Found>> {
    use ad_daily_stats::dsl;
    let last = zone.day_of(to.saturating_add_millis(-1)).date;
    let mut query = dsl::ad_daily_stats
        .filter(dsl::day.ge(zone.day_of(from).date))
        .filter(dsl::day.le(last))
        .order((dsl::day, dsl::ad_id))
        .limit(limit)
        .select((dsl::day, dsl::ad_id, dsl::impressions, dsl::clicks))
        .into_boxed();
    if let Some(after) = after {
        let day = zone.day_of(after.start).date;
        let same_day = dsl::day.eq(day).and(dsl::ad_id.gt(after.ad_id.get()));
        query = query.filter(dsl::day.gt(day).or(same_day));
    }
    let rows: Vec<(NaiveDate, i64, i64, i64)> = query.load(conn)?;
    let found = rows
        .into_iter()
        .filter_map(|(day, ad_id, impressions, clicks)| {
            Some((zone.day(day)?.start, ad_id, impressions, clicks))
        });
    Ok(found.collect())
}
