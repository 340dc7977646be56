//! Writing totals, and what became of them.

use adtally_domain::Timestamp;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Text, Timestamptz};

use super::measure::{Counts, Measure, columns, each};
use super::read::Query;
use super::{BucketKey, Change, Totals};

/// Makes `totals` those kept for `bucket`, and says how many of them are new or changed. Ads that are not
/// among them keep theirs.
pub(crate) fn replace(
    conn: &mut PgConnection,
    bucket: BucketKey,
    totals: &Totals,
) -> QueryResult<u64> {
    let set = each(|measure| format!("{0} = excluded.{0}", measure.as_str()));
    let stats = each(|measure| format!("stats.{}", measure.as_str()));
    let excluded = each(|measure| format!("excluded.{}", measure.as_str()));
    let differs = format!("WHERE ({stats}) IS DISTINCT FROM ({excluded})");
    upsert(conn, bucket, totals, &set, &differs)
}

/// Adds `totals` to those kept for `bucket`.
pub(crate) fn add(conn: &mut PgConnection, bucket: BucketKey, totals: &Totals) -> QueryResult<u64> {
    let set = each(|measure| format!("{0} = stats.{0} + excluded.{0}", measure.as_str()));
    upsert(conn, bucket, totals, &set, "")
}

fn upsert(
    conn: &mut PgConnection,
    bucket: BucketKey,
    totals: &Totals,
    set: &str,
    condition: &str,
) -> QueryResult<u64> {
    if totals.is_empty() {
        return Ok(0);
    }
    let ((table, column), measures) = (bucket.table(), columns());
    let arrays = parameters(2, 1 + Measure::ALL.len());
    let query = bucket.bind(
        diesel::sql_query(format!(
            "INSERT INTO {table} AS stats ({column}, ad_id, {measures}, computed_at) \
             SELECT $1, total.*, now() FROM unnest({arrays}) AS total \
             ON CONFLICT ({column}, ad_id) DO UPDATE \
             SET {set}, computed_at = excluded.computed_at {condition}"
        ))
        .into_boxed(),
    );
    let ad_ids: Vec<i64> = totals.keys().copied().collect();
    let query = query.bind::<Array<BigInt>, _>(ad_ids);
    let query = bind_measures(query, || totals.values().copied());
    query.execute(conn).map(|rows| rows as u64)
}

/// `$from` and the `count - 1` parameters behind it.
fn parameters(from: usize, count: usize) -> String {
    let parameters: Vec<String> = (from..from + count).map(|n| format!("${n}")).collect();
    parameters.join(", ")
}

/// Binds an array of each measure of `counts`.
fn bind_measures<Numbers: Iterator<Item = Counts>>(
    query: Query<'_>,
    counts: impl Fn() -> Numbers,
) -> Query<'_> {
    Measure::ALL.into_iter().fold(query, |query, measure| {
        let numbers: Vec<i64> = counts().map(|counts| counts[measure]).collect();
        query.bind::<Array<BigInt>, _>(numbers)
    })
}

/// Deletes the totals of `ads` kept for `bucket`.
pub(crate) fn delete(
    conn: &mut PgConnection,
    bucket: BucketKey,
    ads: Vec<i64>,
) -> QueryResult<u64> {
    if ads.is_empty() {
        return Ok(0);
    }
    let (table, column) = bucket.table();
    let query = format!("DELETE FROM {table} WHERE {column} = $1 AND ad_id = ANY($2)");
    let query = bucket.bind(diesel::sql_query(query).into_boxed());
    let query = query.bind::<Array<BigInt>, _>(ads);
    query.execute(conn).map(|rows| rows as u64)
}

/// Notes the changes of a bucket as restatements, and says how many.
pub(crate) fn insert_restatements(
    conn: &mut PgConnection,
    granularity: &str,
    start: Timestamp,
    changes: &[Change],
) -> QueryResult<u64> {
    if changes.is_empty() {
        return Ok(0);
    }
    let olds = each(|measure| format!("old_{}", measure.as_str()));
    let news = each(|measure| format!("new_{}", measure.as_str()));
    let arrays = parameters(3, 1 + 2 * Measure::ALL.len());
    let ad_ids: Vec<i64> = changes.iter().map(|change| change.ad_id).collect();
    let query = diesel::sql_query(format!(
        "INSERT INTO restatements (granularity, bucket_start, ad_id, {olds}, {news}, at) \
         SELECT $1, $2, change.*, now() FROM unnest({arrays}) AS change"
    ))
    .into_boxed()
    .bind::<Text, _>(granularity)
    .bind::<Timestamptz, _>(start.to_datetime())
    .bind::<Array<BigInt>, _>(ad_ids);
    let query = bind_measures(query, || changes.iter().map(|change| change.old));
    let new = |change: &Change| change.new.unwrap_or_default();
    let query = bind_measures(query, || changes.iter().map(new));
    query.execute(conn).map(|rows| rows as u64)
}
