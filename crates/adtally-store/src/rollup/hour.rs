//! One hour, from its raw events.

use adtally_domain::{Hour, ReportingZone};
use diesel::connection::SimpleConnection;
use diesel::pg::PgConnection;
use diesel::prelude::*;

use super::RollUp;
use super::write::{apply, is_over, is_rolled_up, restate};
use crate::schema::dirty_hours;
use crate::totals::{self, BucketKey, Change, Totals};
use crate::{StoreError, TaskRun, closed_hours, marks, partitions, settings, tasks};

pub(super) fn roll_up(
    conn: &mut PgConnection,
    task: &TaskRun,
    zone: ReportingZone,
    hour: Hour,
) -> Result<RollUp, StoreError> {
    partitions::hold(conn)?;
    if tasks::is_done(conn, task)? {
        return Ok(RollUp {
            already_done: true,
            ..RollUp::default()
        });
    }
    conn.batch_execute("SAVEPOINT marks")?;
    delete_marks(conn, hour)?;
    let raw_from = settings::raw_from_in_zone(conn, zone)?;
    let closed = raw_from.is_some_and(|raw_from| hour.start < raw_from);
    let mut outcome = RollUp {
        closed,
        ..RollUp::default()
    };
    if !closed {
        let old = totals::of(conn, BucketKey::Hour(hour.start))?;
        let new = totals::raw(conn, hour.start, hour.end)?;
        let missing = totals::missing(&old, &new);
        if missing > 0 && is_over(conn, hour.end)? {
            let mut kept = old;
            totals::sum(&mut kept, keep_marks(conn, zone, hour)?);
            closed_hours::close(conn, hour)?;
            outcome.missing = totals::missing(&kept, &new);
        } else {
            closed_hours::reopen(conn, hour)?;
            write(conn, zone, hour, &totals::changes(&old, &new), &mut outcome)?;
        }
    }
    tasks::succeed(conn, task)?;
    Ok(outcome)
}

/// Adds to the totals of an hour that is to be closed what its marks add, if all of them say it, and returns
/// it: readers have counted it too. Once the hour was rolled up, its total stands whatever its marks say.
fn keep_marks(conn: &mut PgConnection, zone: ReportingZone, hour: Hour) -> QueryResult<Totals> {
    if is_rolled_up(conn, "hour", hour.start)? {
        return Ok(Totals::new());
    }
    conn.batch_execute("ROLLBACK TO SAVEPOINT marks")?;
    let added = marks::added(conn, hour.start, hour.end, None)?.unwrap_or_default();
    delete_marks(conn, hour)?;
    if !added.is_empty() {
        totals::add(conn, BucketKey::Hour(hour.start), &added)?;
        marks::append_day(conn, zone.day_of(hour.start).date)?;
    }
    Ok(added)
}

fn write(
    conn: &mut PgConnection,
    zone: ReportingZone,
    hour: Hour,
    changes: &[Change],
    outcome: &mut RollUp,
) -> QueryResult<()> {
    apply(conn, BucketKey::Hour(hour.start), changes, outcome)?;
    outcome.restated = restate(conn, "hour", hour.start, hour.end, true, changes)?;
    if !changes.is_empty() {
        marks::append_day(conn, zone.day_of(hour.start).date)?;
    }
    Ok(())
}

/// Deletes every mark within the hour: a mark that was made before the rules of the zone changed may
/// stand where no hour starts any more.
fn delete_marks(conn: &mut PgConnection, hour: Hour) -> QueryResult<usize> {
    let marks = dirty_hours::table
        .filter(dirty_hours::hour.ge(hour.start.to_datetime()))
        .filter(dirty_hours::hour.lt(hour.end.to_datetime()));
    diesel::delete(marks).execute(conn)
}
