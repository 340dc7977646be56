//! An hour that is not over: what its marks add goes into its totals, without a look at its events.

use adtally_domain::{Hour, ReportingZone};
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Timestamptz};

use super::totals::Totals;
use crate::schema::dirty_hours;
use crate::{StoreError, marks, partitions, settings, times};

/// Takes the marks of `hour` that say what they add, and returns how many there were. The others stay for the
/// roll-up, and so do those of an hour that is over meanwhile. Like a roll-up it takes away only marks whose
/// events its snapshot holds, and meets it in their rows: whoever comes second starts again.
pub(super) fn count(
    conn: &mut PgConnection,
    zone: ReportingZone,
    hour: Hour,
) -> Result<u64, StoreError> {
    // As a roll-up does: a change of the zone waits for it, or is seen here.
    partitions::hold(conn)?;
    settings::require_zone(conn, zone)?;
    // Not by the time the transaction began: it may have waited for its lock while others rolled up.
    if hour.end.to_datetime() <= times::clock(conn)? {
        return Ok(0);
    }
    let of_hour = dirty_hours::table
        .filter(dirty_hours::hour.eq(hour.start.to_datetime()))
        .filter(dirty_hours::added.is_not_null());
    let added: Vec<Option<Vec<u8>>> = diesel::delete(of_hour)
        .returning(dirty_hours::added)
        .get_results(conn)?;
    let mut totals = Totals::new();
    for added in added.iter().flatten() {
        marks::add_to(&mut totals, added, None).ok_or_else(|| {
            let hour = zone.local(hour.start);
            StoreError::Database(format!("a mark of the hour {hour} cannot be read"))
        })?;
    }
    if !totals.is_empty() {
        add(conn, hour, &totals)?;
        marks::append_day(conn, zone.day_of(hour.start).date)?;
    }
    Ok(added.len() as u64)
}

/// Adds `totals` to those kept for the hour.
pub(super) fn add(conn: &mut PgConnection, hour: Hour, totals: &Totals) -> QueryResult<usize> {
    let ad_ids: Vec<i64> = totals.keys().copied().collect();
    let impressions: Vec<i64> = totals.values().map(|counts| counts.impressions).collect();
    let clicks: Vec<i64> = totals.values().map(|counts| counts.clicks).collect();
    diesel::sql_query(
        "INSERT INTO ad_hourly_stats AS stats (hour, ad_id, impressions, clicks, computed_at) \
         SELECT $1, total.*, now() FROM unnest($2, $3, $4) AS total \
         ON CONFLICT (hour, ad_id) DO UPDATE \
         SET impressions = stats.impressions + excluded.impressions, \
             clicks = stats.clicks + excluded.clicks, computed_at = excluded.computed_at",
    )
    .bind::<Timestamptz, _>(hour.start.to_datetime())
    .bind::<Array<BigInt>, _>(&ad_ids)
    .bind::<Array<BigInt>, _>(&impressions)
    .bind::<Array<BigInt>, _>(&clicks)
    .execute(conn)
}
