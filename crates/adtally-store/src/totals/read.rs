//! Counting raw events, and reading the totals that are kept.

use adtally_domain::{AdId, EventId, Timestamp};
use chrono::{DateTime, NaiveDate, Utc};
use diesel::pg::{Pg, PgConnection};
use diesel::prelude::*;
use diesel::query_builder::{BoxedSqlQuery, SqlQuery};
use diesel::sql_types::{Array, BigInt, Date, Timestamptz, Uuid as SqlUuid};

use super::measure::{Counts, columns, each};
use super::{BucketKey, Totals};
use crate::{loose_scan, times};

#[derive(QueryableByName)]
struct OfAd {
    #[diesel(sql_type = BigInt)]
    ad_id: i64,
    #[diesel(embed)]
    counts: Counts,
}

#[derive(QueryableByName)]
struct OfHour {
    #[diesel(sql_type = Timestamptz)]
    hour: DateTime<Utc>,
    #[diesel(embed)]
    of_ad: OfAd,
}

#[derive(QueryableByName)]
struct OfDay {
    #[diesel(sql_type = Date)]
    day: NaiveDate,
    #[diesel(embed)]
    of_ad: OfAd,
}

fn by_ad(rows: Vec<OfAd>) -> Totals {
    let rows = rows.into_iter();
    rows.map(|row| (row.ad_id, row.counts)).collect()
}

impl BucketKey {
    /// Its table, and the column it is in.
    pub(super) const fn table(self) -> (&'static str, &'static str) {
        match self {
            Self::Hour(_) => HOURLY,
            Self::Day(_) => DAILY,
        }
    }

    /// Binds it as the next parameter.
    pub(super) fn bind(self, query: Query<'_>) -> Query<'_> {
        match self {
            Self::Hour(start) => query.bind::<Timestamptz, _>(start.to_datetime()),
            Self::Day(date) => query.bind::<Date, _>(date),
        }
    }
}

pub(super) type Query<'a> = BoxedSqlQuery<'a, Pg, SqlQuery>;

const HOURLY: (&str, &str) = ("ad_hourly_stats", "hour");
const DAILY: (&str, &str) = ("ad_daily_stats", "day");

/// Counts the raw events of `[from, to)`. A statement that only reads may run in parallel; one that
/// also wrote the totals never would.
pub(crate) fn raw(conn: &mut PgConnection, from: Timestamp, to: Timestamp) -> QueryResult<Totals> {
    let counted = each(|measure| measure.counted());
    diesel::sql_query(format!(
        "SELECT ad_id, {counted} FROM events WHERE event_id >= $1 AND event_id < $2 GROUP BY ad_id"
    ))
    .bind::<SqlUuid, _>(EventId::floor(from))
    .bind::<SqlUuid, _>(EventId::floor(to))
    .load(conn)
    .map(by_ad)
}

/// The same of one ad.
pub(crate) fn raw_of_ad(
    conn: &mut PgConnection,
    ad_id: AdId,
    from: Timestamp,
    to: Timestamp,
) -> QueryResult<Counts> {
    let counted = each(|measure| measure.counted());
    diesel::sql_query(format!(
        "SELECT {counted} FROM events WHERE event_id >= $1 AND event_id < $2 AND ad_id = $3"
    ))
    .bind::<SqlUuid, _>(EventId::floor(from))
    .bind::<SqlUuid, _>(EventId::floor(to))
    .bind::<BigInt, _>(ad_id.get())
    .get_result(conn)
}

/// The totals kept for `bucket`.
pub(crate) fn of(conn: &mut PgConnection, bucket: BucketKey) -> QueryResult<Totals> {
    let ((table, column), measures) = (bucket.table(), columns());
    let query = format!("SELECT ad_id, {measures} FROM {table} WHERE {column} = $1");
    let query = bucket.bind(diesel::sql_query(query).into_boxed());
    query.load(conn).map(by_ad)
}

/// The first `limit` of the totals kept for the hour that begins at `start`, of ads with ids above `after`.
pub(crate) fn hourly_after(
    conn: &mut PgConnection,
    start: Timestamp,
    after: i64,
    limit: i64,
) -> QueryResult<Totals> {
    let measures = columns();
    diesel::sql_query(format!(
        "SELECT ad_id, {measures} FROM ad_hourly_stats \
         WHERE hour = $1 AND ad_id > $2 ORDER BY ad_id LIMIT $3"
    ))
    .bind::<Timestamptz, _>(start.to_datetime())
    .bind::<BigInt, _>(after)
    .bind::<BigInt, _>(limit)
    .load(conn)
    .map(by_ad)
}

/// The sum of the totals kept for the hours that begin in `[from, to)`.
pub(crate) fn hourly_sum(
    conn: &mut PgConnection,
    from: Timestamp,
    to: Timestamp,
) -> QueryResult<Totals> {
    let sums = each(|measure| format!("sum({0})::bigint AS {0}", measure.as_str()));
    diesel::sql_query(format!(
        "SELECT ad_id, {sums} FROM ad_hourly_stats WHERE hour >= $1 AND hour < $2 GROUP BY ad_id"
    ))
    .bind::<Timestamptz, _>(from.to_datetime())
    .bind::<Timestamptz, _>(to.to_datetime())
    .load(conn)
    .map(by_ad)
}

/// The hours in `[from, to)` for which totals are kept, in order. Each has one for each ad.
pub(crate) fn hours_between(
    conn: &mut PgConnection,
    from: Timestamp,
    to: Timestamp,
) -> QueryResult<Vec<Timestamp>> {
    loose_scan::hours(conn, HOURLY.0, from, to)
}

/// The totals kept for one ad in the hours that begin at `starts`. Each is looked up by the whole key, so the
/// ad needs no index of its own.
pub(crate) fn hours_of_ad(
    conn: &mut PgConnection,
    ad_id: AdId,
    starts: impl Iterator<Item = Timestamp>,
) -> QueryResult<Vec<(Timestamp, Counts)>> {
    let starts: Vec<DateTime<Utc>> = starts.map(Timestamp::to_datetime).collect();
    let rows: Vec<OfHour> = diesel::sql_query(of_ad(HOURLY))
        .bind::<BigInt, _>(ad_id.get())
        .bind::<Array<Timestamptz>, _>(starts)
        .load(conn)?;
    let rows = rows.into_iter();
    Ok(rows
        .map(|row| (times::timestamp(row.hour), row.of_ad.counts))
        .collect())
}

/// The same on `dates`.
pub(crate) fn days_of_ad(
    conn: &mut PgConnection,
    ad_id: AdId,
    dates: Vec<NaiveDate>,
) -> QueryResult<Vec<(NaiveDate, Counts)>> {
    let rows: Vec<OfDay> = diesel::sql_query(of_ad(DAILY))
        .bind::<BigInt, _>(ad_id.get())
        .bind::<Array<Date>, _>(dates)
        .load(conn)?;
    let rows = rows.into_iter();
    Ok(rows.map(|row| (row.day, row.of_ad.counts)).collect())
}

fn of_ad((table, column): (&str, &str)) -> String {
    let measures = columns();
    format!(
        "SELECT {column}, ad_id, {measures} FROM {table} WHERE ad_id = $1 AND {column} = ANY($2)"
    )
}

/// Some of the totals kept, in the order of bucket and ad.
pub(crate) struct Page<T> {
    /// Those from this bucket on.
    pub(crate) from: T,
    /// Those of hours before this one, or of days up to this one.
    pub(crate) to: T,
    /// Those behind the total of this bucket and ad.
    pub(crate) after: Option<(T, AdId)>,
    pub(crate) limit: i64,
}

/// A total: its bucket, its ad and its counts.
pub(crate) type Total<T> = (T, i64, Counts);

pub(crate) fn hours_page(
    conn: &mut PgConnection,
    page: Page<Timestamp>,
) -> QueryResult<Vec<Total<Timestamp>>> {
    let mut query = diesel::sql_query(page_of(HOURLY, "<", page.after.is_some()))
        .into_boxed()
        .bind::<Timestamptz, _>(page.from.to_datetime())
        .bind::<Timestamptz, _>(page.to.to_datetime())
        .bind::<BigInt, _>(page.limit);
    if let Some((hour, ad_id)) = page.after {
        query = query
            .bind::<Timestamptz, _>(hour.to_datetime())
            .bind::<BigInt, _>(ad_id.get());
    }
    let rows: Vec<OfHour> = query.load(conn)?;
    let total = |OfHour { hour, of_ad }| (times::timestamp(hour), of_ad.ad_id, of_ad.counts);
    Ok(rows.into_iter().map(total).collect())
}

pub(crate) fn days_page(
    conn: &mut PgConnection,
    page: Page<NaiveDate>,
) -> QueryResult<Vec<Total<NaiveDate>>> {
    let mut query = diesel::sql_query(page_of(DAILY, "<=", page.after.is_some()))
        .into_boxed()
        .bind::<Date, _>(page.from)
        .bind::<Date, _>(page.to)
        .bind::<BigInt, _>(page.limit);
    if let Some((day, ad_id)) = page.after {
        query = query.bind::<Date, _>(day).bind::<BigInt, _>(ad_id.get());
    }
    let rows: Vec<OfDay> = query.load(conn)?;
    let total = |OfDay { day, of_ad }| (day, of_ad.ad_id, of_ad.counts);
    Ok(rows.into_iter().map(total).collect())
}

fn page_of((table, column): (&str, &str), end: &str, has_after: bool) -> String {
    let (measures, after) = (
        columns(),
        match has_after {
            true => format!("AND ({column} > $4 OR {column} = $4 AND ad_id > $5)"),
            false => String::new(),
        },
    );
    format!(
        "SELECT {column}, ad_id, {measures} FROM {table} \
         WHERE {column} >= $1 AND {column} {end} $2 {after} ORDER BY {column}, ad_id LIMIT $3"
    )
}
