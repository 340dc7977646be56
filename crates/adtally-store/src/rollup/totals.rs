//! Totals of ads over a span of time, from raw events and from the tables made of them.

use std::collections::BTreeMap;

use adtally_domain::{EventId, Timestamp};
use chrono::NaiveDate;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Date, Timestamptz, Uuid as SqlUuid};

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
