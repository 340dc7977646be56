//! One day, from its hours.

use adtally_domain::{Day, ReportingZone};
use chrono::NaiveDate;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Date};

use super::RollUp;
use super::totals;
use super::write::{Columns, changes, is_over, restate};
use crate::schema::{ad_daily_stats, dirty_days};
use crate::{StoreError, TaskRun, marks, partitions, settings, tasks};

pub(super) fn roll_up(
    conn: &mut PgConnection,
    task: &TaskRun,
    zone: ReportingZone,
    day: Day,
) -> Result<RollUp, StoreError> {
    // Not for the events: whoever changes the zone waits for it.
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
        let old = totals::daily(conn, day.date)?;
        let new = totals::hourly_sum(conn, day.start, day.end)?;
        let missing = totals::missing(&old, &new);
        if missing > 0 && is_over(conn, day.end)? {
            tasks::succeed(conn, task)?;
            return Ok(RollUp { missing, ..outcome });
        }
        let changes = changes(&old, &new);
        let columns = Columns::of(&changes);
        outcome.deleted = delete(conn, day.date, &columns.gone)?;
        outcome.written = upsert(conn, day.date, &columns)?;
        // A day that is rolled up beside its hours, not after them, is not restated by them.
        let settled = marks::hours_between(conn, day.start, day.end)?.is_empty();
        outcome.restated = restate(conn, "day", day.start, day.end, settled, &changes)?;
    }
    tasks::succeed(conn, task)?;
    Ok(outcome)
}

fn delete(conn: &mut PgConnection, day: NaiveDate, ads: &[i64]) -> QueryResult<u64> {
    if ads.is_empty() {
        return Ok(0);
    }
    let rows = ad_daily_stats::table
        .filter(ad_daily_stats::day.eq(day))
        .filter(ad_daily_stats::ad_id.eq_any(ads));
    diesel::delete(rows).execute(conn).map(|rows| rows as u64)
}

fn upsert(conn: &mut PgConnection, day: NaiveDate, columns: &Columns) -> QueryResult<u64> {
    if columns.ad_ids.is_empty() {
        return Ok(0);
    }
    diesel::sql_query(
        "INSERT INTO ad_daily_stats AS stats (day, ad_id, impressions, clicks, computed_at) \
         SELECT $1, total.*, now() FROM unnest($2, $3, $4) AS total \
         ON CONFLICT (day, ad_id) DO UPDATE \
         SET impressions = excluded.impressions, clicks = excluded.clicks, \
             computed_at = excluded.computed_at \
         WHERE (stats.impressions, stats.clicks) IS DISTINCT FROM \
               (excluded.impressions, excluded.clicks)",
    )
    .bind::<Date, _>(day)
    .bind::<Array<BigInt>, _>(&columns.ad_ids)
    .bind::<Array<BigInt>, _>(&columns.impressions)
    .bind::<Array<BigInt>, _>(&columns.clicks)
    .execute(conn)
    .map(|rows| rows as u64)
}
