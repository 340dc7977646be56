//! What a roll-up writes: the rows that differ and no others.

use adtally_domain::Timestamp;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Text, Timestamptz};

use super::totals::{Counts, Totals};
use crate::schema::roll_ups::dsl;
use crate::times;

/// A total that is not what it was.
pub(super) struct Change {
    pub(super) ad_id: i64,
    pub(super) old: Counts,
    /// None when the ad has no events in the bucket any more.
    pub(super) new: Option<Counts>,
}

/// What turns `old` into `new`, in the order of ads.
pub(super) fn changes(old: &Totals, new: &Totals) -> Vec<Change> {
    let vanished = old
        .iter()
        .filter(|(ad_id, _)| !new.contains_key(ad_id))
        .map(|(ad_id, counts)| Change {
            ad_id: *ad_id,
            old: *counts,
            new: None,
        });
    let differing = new
        .iter()
        .filter(|(ad_id, counts)| old.get(ad_id) != Some(counts))
        .map(|(ad_id, counts)| Change {
            ad_id: *ad_id,
            old: old.get(ad_id).copied().unwrap_or_default(),
            new: Some(*counts),
        });
    let mut changes: Vec<Change> = vanished.chain(differing).collect();
    changes.sort_by_key(|change| change.ad_id);
    changes
}

/// Whether a bucket that ends at `end` is over, by PostgreSQL's clock.
pub(super) fn is_over(conn: &mut PgConnection, end: Timestamp) -> QueryResult<bool> {
    Ok(end.to_datetime() <= times::now(conn)?)
}

/// The ads to delete, and the ads to write with their impressions and clicks.
#[derive(Default)]
pub(super) struct Columns {
    pub(super) gone: Vec<i64>,
    pub(super) ad_ids: Vec<i64>,
    pub(super) impressions: Vec<i64>,
    pub(super) clicks: Vec<i64>,
}

impl Columns {
    pub(super) fn of(changes: &[Change]) -> Self {
        let mut columns = Self::default();
        for change in changes {
            match change.new {
                None => columns.gone.push(change.ad_id),
                Some(counts) => {
                    columns.ad_ids.push(change.ad_id);
                    columns.impressions.push(counts.impressions);
                    columns.clicks.push(counts.clicks);
                }
            }
        }
        columns
    }
}

/// Notes the changes of a bucket that had been rolled up after it was over, and says how many.
///
/// When the bucket is over, and `settled` because nothing it is made of waits for a roll-up of its
/// own, this roll-up is noted as the first such one, unless there was one.
pub(super) fn restate(
    conn: &mut PgConnection,
    granularity: &str,
    start: Timestamp,
    end: Timestamp,
    settled: bool,
    changes: &[Change],
) -> QueryResult<u64> {
    if is_rolled_up(conn, granularity, start)? {
        return insert_restatements(conn, granularity, start, changes);
    }
    let now = times::now(conn)?;
    if settled && end.to_datetime() <= now {
        diesel::insert_into(dsl::roll_ups)
            .values((
                dsl::granularity.eq(granularity),
                dsl::bucket_start.eq(start.to_datetime()),
                dsl::rolled_up_at.eq(now),
            ))
            // In this isolation a row that another roll-up wrote meanwhile fails the transaction,
            // which then starts again.
            .on_conflict_do_nothing()
            .execute(conn)?;
    }
    Ok(0)
}

/// Whether a bucket was rolled up after it was over.
pub(super) fn is_rolled_up(
    conn: &mut PgConnection,
    granularity: &str,
    start: Timestamp,
) -> QueryResult<bool> {
    let bucket = dsl::roll_ups.find((granularity, start.to_datetime()));
    diesel::select(diesel::dsl::exists(bucket)).get_result(conn)
}

fn insert_restatements(
    conn: &mut PgConnection,
    granularity: &str,
    start: Timestamp,
    changes: &[Change],
) -> QueryResult<u64> {
    if changes.is_empty() {
        return Ok(0);
    }
    let column = |value: fn(&Change) -> i64| changes.iter().map(value).collect::<Vec<_>>();
    let rows = diesel::sql_query(
        "INSERT INTO restatements (granularity, bucket_start, ad_id, old_impressions, \
                                   new_impressions, old_clicks, new_clicks, at) \
         SELECT $1, $2, change.*, now() FROM unnest($3, $4, $5, $6, $7) AS change",
    )
    .bind::<Text, _>(granularity)
    .bind::<Timestamptz, _>(start.to_datetime())
    .bind::<Array<BigInt>, _>(column(|change| change.ad_id))
    .bind::<Array<BigInt>, _>(column(|change| change.old.impressions))
    .bind::<Array<BigInt>, _>(column(|change| change.new.unwrap_or_default().impressions))
    .bind::<Array<BigInt>, _>(column(|change| change.old.clicks))
    .bind::<Array<BigInt>, _>(column(|change| change.new.unwrap_or_default().clicks))
    .execute(conn)?;
    Ok(u64::try_from(rows).unwrap_or(u64::MAX))
}
