//! Totals of ads over a span of time, from raw events and from the tables made of them.

use std::collections::BTreeMap;

use adtally_domain::{EventId, Timestamp};
use chrono::NaiveDate;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Date, Timestamptz, Uuid as SqlUuid};

use super::write::is_rolled_up;
use crate::marks;

/// Impressions and clicks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) impressions: i64,
    pub(crate) clicks: i64,
}

/// Counts by ad. Ads without events are not in it.
pub(crate) type Totals = BTreeMap<i64, Counts>;

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    ad_id: i64,
    #[diesel(sql_type = BigInt)]
    impressions: i64,
    #[diesel(sql_type = BigInt)]
    clicks: i64,
}

fn collect(rows: Vec<Row>) -> Totals {
    rows.into_iter()
        .map(|row| {
            let counts = Counts {
                impressions: row.impressions,
                clicks: row.clicks,
            };
            (row.ad_id, counts)
        })
        .collect()
}

/// Adds `more` to `totals`.
pub(crate) fn add(totals: &mut Totals, more: Totals) {
    for (ad_id, counts) in more {
        let sum = totals.entry(ad_id).or_default();
        sum.impressions += counts.impressions;
        sum.clicks += counts.clicks;
    }
}

/// Counts the raw events of `[from, to)`. A statement that only reads may run in parallel; one that
/// also wrote the totals never would.
pub(crate) fn raw(conn: &mut PgConnection, from: Timestamp, to: Timestamp) -> QueryResult<Totals> {
    diesel::sql_query(
        "SELECT ad_id, count(*) FILTER (WHERE kind = 0) AS impressions, \
                count(*) FILTER (WHERE kind = 1) AS clicks \
         FROM events WHERE event_id >= $1 AND event_id < $2 GROUP BY ad_id",
    )
    .bind::<SqlUuid, _>(EventId::floor(from))
    .bind::<SqlUuid, _>(EventId::floor(to))
    .load(conn)
    .map(collect)
}

/// The totals of an hour that is marked: counted anew, unless events that are kept in its totals are
/// gone, which an hour that is over does not follow.
pub(crate) fn anew(
    conn: &mut PgConnection,
    start: Timestamp,
    end: Timestamp,
    now: Timestamp,
) -> QueryResult<Totals> {
    let raw = raw(conn, start, end)?;
    if now < end {
        return Ok(raw);
    }
    let kept = hourly(conn, start)?;
    Ok(if missing(&kept, &raw) == 0 { raw } else { kept })
}

/// How many events of `old` are not in `new`, whatever else is. Raw events are never taken away, so
/// these are lost.
pub(crate) fn missing(old: &Totals, new: &Totals) -> u64 {
    let fewer = |old: i64, new: i64| u64::try_from(old.saturating_sub(new)).unwrap_or(0);
    let of_ad = |(ad_id, old): (&i64, &Counts)| {
        let new = new.get(ad_id).copied().unwrap_or_default();
        fewer(old.impressions, new.impressions) + fewer(old.clicks, new.clicks)
    };
    old.iter().map(of_ad).sum()
}

/// What the marks of the hour `[from, to)` add to the totals kept for it; `None` when it is to be counted anew.
/// So it is once it was rolled up after its end: only a look at its raw events tells whether they are all
/// there still.
pub(crate) fn added(
    conn: &mut PgConnection,
    from: Timestamp,
    to: Timestamp,
    now: Timestamp,
    only: Option<i64>,
) -> QueryResult<Option<Totals>> {
    if to <= now && is_rolled_up(conn, "hour", from)? {
        return Ok(None);
    }
    marks::added(conn, from, to, only)
}

/// The totals of the hour `[from, to)` that has marks: what is kept for it and what they add, or what its raw
/// events add up to. Of ads with ids above `after`; those behind the first
/// `limit` may be missing or too low.
pub(crate) fn live(
    conn: &mut PgConnection,
    from: Timestamp,
    to: Timestamp,
    now: Timestamp,
    after: i64,
    limit: usize,
) -> QueryResult<Totals> {
    let Some(mut added) = added(conn, from, to, now, None)? else {
        return anew(conn, from, to, now);
    };
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut totals = diesel::sql_query(
        "SELECT ad_id, impressions, clicks FROM ad_hourly_stats \
         WHERE hour = $1 AND ad_id > $2 ORDER BY ad_id LIMIT $3",
    )
    .bind::<Timestamptz, _>(from.to_datetime())
    .bind::<BigInt, _>(after)
    .bind::<BigInt, _>(limit)
    .load(conn)
    .map(collect)?;
    add(&mut totals, added.split_off(&after.saturating_add(1)));
    Ok(totals)
}

/// The totals kept for the hour that begins at `start`.
pub(crate) fn hourly(conn: &mut PgConnection, start: Timestamp) -> QueryResult<Totals> {
    diesel::sql_query("SELECT ad_id, impressions, clicks FROM ad_hourly_stats WHERE hour = $1")
        .bind::<Timestamptz, _>(start.to_datetime())
        .load(conn)
        .map(collect)
}

/// The sum of the totals kept for the hours that begin in `[from, to)`.
pub(crate) fn hourly_sum(
    conn: &mut PgConnection,
    from: Timestamp,
    to: Timestamp,
) -> QueryResult<Totals> {
    diesel::sql_query(
        "SELECT ad_id, sum(impressions)::bigint AS impressions, sum(clicks)::bigint AS clicks \
         FROM ad_hourly_stats WHERE hour >= $1 AND hour < $2 GROUP BY ad_id",
    )
    .bind::<Timestamptz, _>(from.to_datetime())
    .bind::<Timestamptz, _>(to.to_datetime())
    .load(conn)
    .map(collect)
}

/// The totals kept for `day`.
pub(crate) fn daily(conn: &mut PgConnection, day: NaiveDate) -> QueryResult<Totals> {
    diesel::sql_query("SELECT ad_id, impressions, clicks FROM ad_daily_stats WHERE day = $1")
        .bind::<Date, _>(day)
        .load(conn)
        .map(collect)
}
