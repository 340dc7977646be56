//! Totals of an hour that has marks: what is kept for it and what the marks add, or what its raw events add up
//! to.

use adtally_domain::{AdId, Timestamp};
use diesel::pg::PgConnection;
use diesel::result::QueryResult;

use super::bucket::Bucket;
use crate::marks;
use crate::rollup::is_rolled_up;
use crate::totals::{self, Counts, Totals};

/// What the marks of `hour` add to the totals kept for it, of the ad `only` if one is given; `None` when it is
/// to be counted anew. So it is once it was rolled up after its end: only a look at its raw events tells
/// whether they are all there still.
pub(super) fn added(
    conn: &mut PgConnection,
    hour: Bucket,
    now: Timestamp,
    only: Option<AdId>,
) -> QueryResult<Option<Totals>> {
    if hour.end <= now && is_rolled_up(conn, "hour", hour.start)? {
        return Ok(None);
    }
    marks::added(conn, hour.start, hour.end, only.map(AdId::get))
}

/// The totals of `hour`, of ads with ids above `after`; those behind the first `limit` may be missing or too
/// low.
pub(super) fn of_hour(
    conn: &mut PgConnection,
    hour: Bucket,
    now: Timestamp,
    after: i64,
    limit: usize,
) -> QueryResult<Totals> {
    let Some(mut added) = added(conn, hour, now, None)? else {
        return anew(conn, hour, now);
    };
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut sum = totals::hourly_after(conn, hour.start, after, limit)?;
    totals::sum(&mut sum, added.split_off(&after.saturating_add(1)));
    Ok(sum)
}

/// The totals of `hour`, counted anew, unless events that are kept in its totals are gone, which an hour that
/// is over does not follow.
fn anew(conn: &mut PgConnection, hour: Bucket, now: Timestamp) -> QueryResult<Totals> {
    let raw = totals::raw(conn, hour.start, hour.end)?;
    if now < hour.end {
        return Ok(raw);
    }
    let kept = totals::of(conn, totals::BucketKey::Hour(hour.start))?;
    let is_whole = totals::missing(&kept, &raw) == 0;
    Ok(if is_whole { raw } else { kept })
}

/// The same of one ad, for which `kept` is kept.
pub(super) fn anew_of_ad(
    conn: &mut PgConnection,
    ad_id: AdId,
    hour: Bucket,
    now: Timestamp,
    kept: Counts,
) -> QueryResult<Counts> {
    let raw = totals::raw_of_ad(conn, ad_id, hour.start, hour.end)?;
    let is_whole = now < hour.end || kept.missing_in(raw) == 0;
    Ok(if is_whole { raw } else { kept })
}
