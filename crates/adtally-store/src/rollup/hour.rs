//! One hour, from its raw events.

use adtally_domain::{Hour, ReportingZone, Timestamp};
use diesel::connection::SimpleConnection;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Timestamptz};

use super::write::{Change, Columns, changes, is_over, is_rolled_up, restate};
use super::{RollUp, Totals, open, totals};
use crate::schema::{ad_hourly_stats, dirty_hours};
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
        let old = totals::hourly(conn, hour.start)?;
        let new = totals::raw(conn, hour.start, hour.end)?;
        let missing = totals::missing(&old, &new);
        if missing > 0 && is_over(conn, hour.end)? {
            let mut kept = old;
            totals::add(&mut kept, keep_marks(conn, zone, hour)?);
            closed_hours::close(conn, hour)?;
            outcome.missing = totals::missing(&kept, &new);
        } else {
            closed_hours::reopen(conn, hour)?;
            write(conn, zone, hour, &changes(&old, &new), &mut outcome)?;
        }
    }
    tasks::succeed(conn, task)?;
    Ok(outcome)
}

/// Adds to the totals of an hour that is to be closed what its marks add, if all of them say that, as
/// whoever read it did; and returns it. Once it was rolled up, its total stood whatever its marks said.
fn keep_marks(conn: &mut PgConnection, zone: ReportingZone, hour: Hour) -> QueryResult<Totals> {
    if is_rolled_up(conn, "hour", hour.start)? {
        return Ok(Totals::new());
    }
    conn.batch_execute("ROLLBACK TO SAVEPOINT marks")?;
    let added = marks::added(conn, hour.start, hour.end, None)?.unwrap_or_default();
    delete_marks(conn, hour)?;
    if !added.is_empty() {
        open::add(conn, hour, &added)?;
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
    let columns = Columns::of(changes);
    outcome.deleted = delete(conn, hour.start, &columns.gone)?;
    outcome.written = upsert(conn, hour.start, &columns)?;
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

fn delete(conn: &mut PgConnection, hour: Timestamp, ads: &[i64]) -> QueryResult<u64> {
    if ads.is_empty() {
        return Ok(0);
    }
    let rows = ad_hourly_stats::table
        .filter(ad_hourly_stats::hour.eq(hour.to_datetime()))
        .filter(ad_hourly_stats::ad_id.eq_any(ads));
    diesel::delete(rows).execute(conn).map(|rows| rows as u64)
}

fn upsert(conn: &mut PgConnection, hour: Timestamp, columns: &Columns) -> QueryResult<u64> {
    if columns.ad_ids.is_empty() {
        return Ok(0);
    }
    diesel::sql_query(
        "INSERT INTO ad_hourly_stats AS stats (hour, ad_id, impressions, clicks, computed_at) \
         SELECT $1, total.*, now() FROM unnest($2, $3, $4) AS total \
         ON CONFLICT (hour, ad_id) DO UPDATE \
         SET impressions = excluded.impressions, clicks = excluded.clicks, \
             computed_at = excluded.computed_at \
         WHERE (stats.impressions, stats.clicks) IS DISTINCT FROM \
               (excluded.impressions, excluded.clicks)",
    )
    .bind::<Timestamptz, _>(hour.to_datetime())
    .bind::<Array<BigInt>, _>(&columns.ad_ids)
    .bind::<Array<BigInt>, _>(&columns.impressions)
    .bind::<Array<BigInt>, _>(&columns.clicks)
    .execute(conn)
    .map(|rows| rows as u64)
}
