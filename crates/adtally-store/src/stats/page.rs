//! All ads' totals, some rows at a time.

use adtally_domain::{AdId, ReportingZone, Timestamp};
use diesel::pg::PgConnection;
use diesel::result::QueryResult;

use super::bucket::Bucket;
use super::view::View;
use super::{Granularity, StatsCursor, StatsPage, StatsRow, StatsSpan};
use crate::StoreError;
use crate::deadline::Deadline;
use crate::totals::{self, Page, Total};

/// A row before it is known how far its bucket may change, which is named by its start.
type Found = Total<Timestamp>;

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

fn row(view: &View, (start, ad_id, counts): Found) -> Option<StatsRow> {
    let bucket = view.bucket_of(start);
    Some(StatsRow {
        ad_id: AdId::new(ad_id)?,
        start: bucket.start,
        end: bucket.end,
        counts,
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
        .filter_map(|(ad_id, counts)| row(view, (bucket.start, ad_id, counts)));
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
    let page = Page {
        from,
        to,
        after: after.map(|after| (after.start, after.ad_id)),
        limit,
    };
    totals::hours_page(conn, page)
}

fn kept_days(
    conn: &mut PgConnection,
    zone: ReportingZone,
    from: Timestamp,
    to: Timestamp,
    after: Option<StatsCursor>,
    limit: i64,
) -> QueryResult<Vec<Found>> {
    let date = |time| zone.day_of(time).date;
    let page = Page {
        from: date(from),
        to: date(to.saturating_add_millis(-1)),
        after: after.map(|after| (date(after.start), after.ad_id)),
        limit,
    };
    let found = totals::days_page(conn, page)?.into_iter();
    let found =
        found.filter_map(|(day, ad_id, counts)| Some((zone.day(day)?.start, ad_id, counts)));
    Ok(found.collect())
}
