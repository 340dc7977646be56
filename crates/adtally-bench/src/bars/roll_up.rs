//! What an hourly task costs beside the bare SQL of its work.

use std::time::Instant;

use adtally_domain::{EventId, Hour, ReportingZone, Timestamp};
use adtally_service::clock;
use adtally_store::{RollUp, Store, TaskRun};
use anyhow::ensure;
use uuid::Uuid;

use crate::args::BenchArgs;
use crate::figure::{Arm, Bound, Figure};
use crate::lab::{Ground, Lab};
use crate::pairs::in_turn;
use crate::psql::timed;
use crate::rows::{Ads, Rows};
use crate::usage::Meter;

/// Raw events of the hour.
const ROWS: u64 = 5_000_000;
/// Ads of the hour that is built for the first time.
const MANY_ADS: u32 = 1_000_000;
const HOUR_MILLIS: i64 = 3_600_000;

/// Bar 5.
pub(crate) async fn roll_up(lab: &Lab, args: &BenchArgs) -> anyhow::Result<Vec<Figure>> {
    Ok(vec![
        unchanged(lab, args, 1_000).await?,
        unchanged(lab, args, 10_000).await?,
        first_build(lab, args).await?,
    ])
}

/// A task that is not the run of any other.
pub(super) fn task(name: &str) -> TaskRun {
    TaskRun {
        task_id: Uuid::now_v7(),
        name: name.to_owned(),
        arguments: serde_json::json!({}),
        worker: "bench".to_owned(),
    }
}

/// A rebuild that finds nothing to change, over the bare count of the same rows.
async fn unchanged(lab: &Lab, args: &BenchArgs, ads: u32) -> anyhow::Result<Figure> {
    let (ground, hour) = past_hour(lab, Ads::Skewed(ads)).await?;
    let store = ground.store();
    rebuild(&store, hour).await?;
    has_all_rows(&ground, "ad_hourly_stats").await?;
    ground.psql("VACUUM ANALYZE").await?;
    let bare = format!(
        "SELECT ad_id, kind, count(*) FROM events WHERE {} GROUP BY ad_id, kind;",
        of_hour(hour)
    );
    // Both have run once before they are measured.
    timed(&ground, std::slice::from_ref(&bare)).await?;
    let name = format!("hourly task unchanged, {ads} ads");
    let pairs = in_turn(
        &name,
        args.pairs,
        async || {
            let meter = Meter::start(lab, &[])?;
            let (outcome, seconds) = rebuild(&store, hour).await?;
            ensure!(outcome.changed() == 0, "not unchanged: {outcome:?}");
            Ok(Arm::time(ROWS, seconds, meter.stop()?))
        },
        async || {
            let meter = Meter::start(lab, &[])?;
            let seconds = timed(&ground, std::slice::from_ref(&bare)).await?;
            Ok(Arm::time(ROWS, seconds, meter.stop()?))
        },
    )
    .await?;
    has_all_rows(&ground, "ad_hourly_stats").await?;
    ground.clear().await?;
    let bounds = (Bound::AtMost(1.5), Bound::AtMost(1.15));
    Ok(Figure::of_pairs(5, name, "s", bounds, pairs))
}

/// The first build of an hour of many ads, over a bare count that is copied out and in again.
async fn first_build(lab: &Lab, args: &BenchArgs) -> anyhow::Result<Figure> {
    let (ground, hour) = past_hour(lab, Ads::Uniform(MANY_ADS)).await?;
    let store = ground.store();
    // Both have run once before they are measured.
    build(&ground, &store, hour).await?;
    copy(&ground, hour).await?;
    let name = format!("hourly task, first build, {MANY_ADS} ads");
    let pairs = in_turn(
        &name,
        args.pairs,
        async || build(&ground, &store, hour).await,
        async || copy(&ground, hour).await,
    )
    .await?;
    ground.clear().await?;
    let bounds = (Bound::AtMost(2.0), Bound::AtMost(1.3));
    Ok(Figure::of_pairs(5, name, "s", bounds, pairs))
}

async fn build(ground: &Ground<'_>, store: &Store, hour: Hour) -> anyhow::Result<Arm> {
    // Without the note that the hour was once complete: each total would be a restatement.
    ground
        .psql("TRUNCATE ad_hourly_stats, roll_ups, restatements, dirty_days")
        .await?;
    ground.lab.settle().await?;
    let meter = Meter::start(ground.lab, &[])?;
    let (outcome, seconds) = rebuild(store, hour).await?;
    let cpu = meter.stop()?;
    ensure!(
        outcome.restated == 0 && outcome.deleted == 0,
        "not a first build: {outcome:?}"
    );
    has_all_rows(ground, "ad_hourly_stats").await?;
    Ok(Arm::time(ROWS, seconds, cpu))
}

async fn copy(ground: &Ground<'_>, hour: Hour) -> anyhow::Result<Arm> {
    ground
        .psql(
            "DROP TABLE IF EXISTS bare_totals; \
             CREATE TABLE bare_totals (LIKE ad_hourly_stats INCLUDING ALL)",
        )
        .await?;
    ground.lab.settle().await?;
    let file = ground.lab.dir().join("bare_totals");
    let steps = [
        format!(
            "\\copy (SELECT '{}'::timestamptz, ad_id, count(*) FILTER (WHERE kind = 0), \
             count(*) FILTER (WHERE kind = 1), now() FROM events WHERE {} GROUP BY ad_id) \
             TO '{}' WITH (FORMAT binary)",
            hour.start,
            of_hour(hour),
            file.display()
        ),
        format!(
            "\\copy bare_totals FROM '{}' WITH (FORMAT binary)",
            file.display()
        ),
    ];
    let meter = Meter::start(ground.lab, &[])?;
    let seconds = timed(ground, &steps).await?;
    let cpu = meter.stop()?;
    has_all_rows(ground, "bare_totals").await?;
    Ok(Arm::time(ROWS, seconds, cpu))
}

/// Ground with the rows of an hour that is over.
async fn past_hour(lab: &Lab, ads: Ads) -> anyhow::Result<(Ground<'_>, Hour)> {
    let now = Timestamp::try_from(clock::now())?;
    let hour = ReportingZone::UTC.hour_of(now.saturating_add_millis(-2 * HOUR_MILLIS));
    let ground = lab.ground().await?;
    let rows = Rows {
        count: ROWS,
        start: hour.start,
        end: hour.end,
        ads,
    };
    rows.insert(&ground).await?;
    Ok((ground, hour))
}

/// Rolls the hour up as a task that has not run yet, and says how long it took.
async fn rebuild(store: &Store, hour: Hour) -> anyhow::Result<(RollUp, f64)> {
    let task = task("roll_up_hour");
    let started = Instant::now();
    let outcome = store.roll_up_hour(task, ReportingZone::UTC, hour).await?;
    Ok((outcome, started.elapsed().as_secs_f64()))
}

/// SQL: an event of the hour.
fn of_hour(hour: Hour) -> String {
    let (floor, end) = (EventId::floor(hour.start), EventId::floor(hour.end));
    format!("event_id >= '{floor}' AND event_id < '{end}'")
}

/// Fails unless the totals in `table` are of all rows.
async fn has_all_rows(ground: &Ground<'_>, table: &str) -> anyhow::Result<()> {
    let sum = format!("SELECT sum(impressions + clicks) FROM {table}");
    let sum: u64 = ground.psql(&sum).await?.parse()?;
    ensure!(sum == ROWS, "{table} has {sum} events of {ROWS}");
    Ok(())
}
