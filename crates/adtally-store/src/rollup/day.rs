//! One day, from its hours.

use adtally_domain::{Day, ReportingZone};
use diesel::pg::PgConnection;
use diesel::prelude::*;

use super::RollUp;
use super::write::{apply, is_over, restate};
use crate::schema::dirty_days;
use crate::totals::{self, BucketKey};
use crate::{StoreError, TaskRun, marks, partitions, settings, tasks};

pub(super) fn roll_up(
    conn: &mut PgConnection,
    task: &TaskRun,
    zone: ReportingZone,
    day: Day,
) -> Result<RollUp, StoreError> {
    // Not for the events: a change of the zone waits for it.
    partitions::hold(conn)?;
    if tasks::is_done(conn, task)? {
        return Ok(RollUp {
            already_done: true,
            ..RollUp::default()
        });
    }
    diesel::delete(dirty_days::table.filter(dirty_days::day.eq(day.date))).execute(conn)?;
    // A day that only begins before raw_from still has hours that change.
    let raw_from = settings::raw_from_in_zone(conn, zone)?;
    let closed = raw_from.is_some_and(|raw_from| day.end <= raw_from);
    let mut outcome = RollUp {
        closed,
        ..RollUp::default()
    };
    if !closed {
        let bucket = BucketKey::Day(day.date);
        let old = totals::of(conn, bucket)?;
        let new = totals::hourly_sum(conn, day.start, day.end)?;
        let missing = totals::missing(&old, &new);
        if missing > 0 && is_over(conn, day.end)? {
            tasks::succeed(conn, task)?;
            return Ok(RollUp { missing, ..outcome });
        }
        let changes = totals::changes(&old, &new);
        apply(conn, bucket, &changes, &mut outcome)?;
        // A day that is rolled up beside its hours, not after them, is not restated by them.
        let settled = marks::hours_between(conn, day.start, day.end)?.is_empty();
        outcome.restated = restate(conn, "day", day.start, day.end, settled, &changes)?;
    }
    tasks::succeed(conn, task)?;
    Ok(outcome)
}
