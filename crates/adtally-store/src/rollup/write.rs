//! What a roll-up writes: the rows that differ and no others.

use adtally_domain::Timestamp;
use diesel::pg::PgConnection;
use diesel::prelude::*;

use super::RollUp;
use crate::schema::roll_ups::dsl;
use crate::times;
use crate::totals::{self, BucketKey, Change, Totals};

/// Whether a bucket that ends at `end` is over, by PostgreSQL's clock.
pub(super) fn is_over(conn: &mut PgConnection, end: Timestamp) -> QueryResult<bool> {
    Ok(end.to_datetime() <= times::now(conn)?)
}

/// Makes the totals kept for `bucket` what `changes` turn them into.
pub(super) fn apply(
    conn: &mut PgConnection,
    bucket: BucketKey,
    changes: &[Change],
    outcome: &mut RollUp,
) -> QueryResult<()> {
    let gone = changes.iter().filter(|change| change.new.is_none());
    let gone = gone.map(|change| change.ad_id).collect();
    let written = changes
        .iter()
        .filter_map(|change| Some((change.ad_id, change.new?)));
    let written: Totals = written.collect();
    outcome.deleted = totals::delete(conn, bucket, gone)?;
    outcome.written = totals::replace(conn, bucket, &written)?;
    Ok(())
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
        return totals::insert_restatements(conn, granularity, start, changes);
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
pub(crate) fn is_rolled_up(
    conn: &mut PgConnection,
    granularity: &str,
    start: Timestamp,
) -> QueryResult<bool> {
    let bucket = dsl::roll_ups.find((granularity, start.to_datetime()));
    diesel::select(diesel::dsl::exists(bucket)).get_result(conn)
}
