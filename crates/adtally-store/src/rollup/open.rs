//! An hour that is not over: what its marks add goes into its totals, without a look at its events.

use adtally_domain::{Hour, ReportingZone};
use diesel::pg::PgConnection;
use diesel::prelude::*;

use crate::schema::dirty_hours;
use crate::totals::{self, BucketKey, Totals};
use crate::{StoreError, marks, partitions, settings, times};

/// Counts the marks of `hour` that say what they add, deletes them, and returns how many there were. The
/// others stay for the roll-up, and so do those of an hour that is over meanwhile.
///
/// Like a roll-up it deletes only marks whose events its snapshot holds. Where both delete the same mark, the
/// later one starts again.
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
        totals::add(conn, BucketKey::Hour(hour.start), &totals)?;
        marks::append_day(conn, zone.day_of(hour.start).date)?;
    }
    Ok(added.len() as u64)
}
