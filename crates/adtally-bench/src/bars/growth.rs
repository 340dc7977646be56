//! What does not become slower when the data grows.

use std::cell::Cell;
use std::time::Instant;

use adtally_domain::{Day, ReportingZone, Timestamp};
use adtally_service::clock;
use adtally_store::Store;
use anyhow::{Context, ensure};

use super::roll_up::task;
use crate::args::BenchArgs;
use crate::backlog::{Backlog, Period, Repeats};
use crate::drain::drain;
use crate::figure::{Arm, Bound, Figure};
use crate::lab::{Ground, Lab};
use crate::pairs::in_turn;
use crate::rows::{Ads, Rows};
use crate::usage::Meter;

/// Raw events of the smaller day; the larger one has ten times as many.
const DAY_ROWS: u64 = 500_000;
/// Each of them has events in each hour of both days, so that the hourly totals are equally many.
const DAY_ADS: u32 = 10_000;
/// Daily tasks that are timed together: one alone is too short.
const TASKS: u64 = 10;
/// Rows that are there before events are stored.
const PRESENT: u64 = 50_000_000;
/// How many times 24 hours, up to now, they are spread over.
const PRESENT_DAYS: i64 = 5;
/// Events that are stored beside them.
const BACKLOG: u64 = 1_000_000;
const ADS: u32 = 10_000;
const DAY_MILLIS: i64 = 86_400_000;
/// How old the youngest of the rows that are there is when they are made.
const RECENT_MILLIS: i64 = 10 * 60_000;

/// Bar 6.
pub(crate) async fn growth(lab: &Lab, args: &BenchArgs) -> anyhow::Result<Vec<Figure>> {
    Ok(vec![daily_task(lab, args).await?, ingest(lab, args).await?])
}

/// The task of a day with ten times the raw events, over that of a day with as many totals.
async fn daily_task(lab: &Lab, args: &BenchArgs) -> anyhow::Result<Figure> {
    let large = RolledUpDay::prepare(lab, 10 * DAY_ROWS).await?;
    let small = RolledUpDay::prepare(lab, DAY_ROWS).await?;
    let name = "daily task, 10x the raw rows";
    let pairs = in_turn(
        name,
        args.pairs,
        async || large.run().await,
        async || small.run().await,
    )
    .await?;
    large.clear().await?;
    small.clear().await?;
    let bounds = (Bound::AtMost(1.1), Bound::AtMost(1.05));
    Ok(Figure::of_pairs(6, name, "s", bounds, pairs))
}

/// Yesterday, with all its totals.
struct RolledUpDay<'a> {
    ground: Ground<'a>,
    store: Store,
    day: Day,
}

impl<'a> RolledUpDay<'a> {
    async fn prepare(lab: &'a Lab, count: u64) -> anyhow::Result<Self> {
        let ground = lab.ground().await?;
        let day = ReportingZone::UTC.day_of(now()?.saturating_add_millis(-DAY_MILLIS));
        let rows = Rows {
            count,
            start: day.start,
            end: day.end,
            ads: Ads::InTurn(DAY_ADS),
        };
        rows.insert(&ground).await?;
        let store = ground.store();
        for hour in ReportingZone::UTC.hours(day.start, day.end) {
            let task = task("roll_up_hour");
            store.roll_up_hour(task, ReportingZone::UTC, hour).await?;
        }
        store
            .roll_up_day(task("roll_up_day"), ReportingZone::UTC, day)
            .await?;
        let prepared = Self { ground, store, day };
        prepared.check(count).await?;
        prepared.ground.psql("VACUUM ANALYZE").await?;
        Ok(prepared)
    }

    /// Every raw event counted once, in as many totals as the other day has.
    async fn check(&self, count: u64) -> anyhow::Result<()> {
        let sum = "SELECT sum(impressions + clicks) FROM ad_daily_stats";
        let sum: u64 = self.ground.psql(sum).await?.parse()?;
        let hourly = "SELECT count(*) FROM ad_hourly_stats";
        let hourly: u64 = self.ground.psql(hourly).await?.parse()?;
        ensure!(
            sum == count && hourly == 24 * u64::from(DAY_ADS),
            "{sum} events of {count} in {hourly} hourly totals"
        );
        Ok(())
    }

    async fn run(&self) -> anyhow::Result<Arm> {
        let meter = Meter::start(self.ground.lab, &[])?;
        let started = Instant::now();
        for _ in 0..TASKS {
            let task = task("roll_up_day");
            let outcome = self
                .store
                .roll_up_day(task, ReportingZone::UTC, self.day)
                .await?;
            ensure!(outcome.changed() == 0, "not unchanged: {outcome:?}");
        }
        let seconds = started.elapsed().as_secs_f64();
        Ok(Arm::time(TASKS, seconds, meter.stop()?))
    }

    async fn clear(self) -> anyhow::Result<()> {
        self.ground.clear().await
    }
}

/// Storing events beside many rows, over storing them in an empty table.
async fn ingest(lab: &Lab, args: &BenchArgs) -> anyhow::Result<Figure> {
    // Made once: it takes minutes. Each arm adds 2 % to it.
    let full = lab.ground().await?;
    let end = now()?.saturating_add_millis(-RECENT_MILLIS);
    let rows = Rows {
        count: PRESENT,
        start: end.saturating_add_millis(-PRESENT_DAYS * DAY_MILLIS),
        end,
        ads: Ads::Skewed(ADS),
    };
    rows.insert(&full).await?;
    let name = "stored beside 50 M rows";
    // The events of a pair come after those of the pair before: in between they would cost more.
    let period = Cell::new(Period { start: end, end });
    let pairs = in_turn(
        name,
        args.pairs,
        async || {
            let (start, end) = (period.get().end, now()?);
            period.set(Period { start, end });
            store_beside(&full, period.get()).await
        },
        async || {
            let empty = lab.ground().await?;
            let arm = store_beside(&empty, period.get()).await?;
            empty.clear().await?;
            Ok(arm)
        },
    )
    .await?;
    full.clear().await?;
    let bounds = (Bound::AtLeast(0.9), Bound::AtLeast(0.95));
    Ok(Figure::of_pairs(6, name, "events/s", bounds, pairs))
}

async fn store_beside(ground: &Ground<'_>, period: Period) -> anyhow::Result<Arm> {
    let backlog = Backlog {
        events: BACKLOG,
        ads: ADS,
        repeats: Repeats::None,
        period,
    };
    backlog.fill(ground).await?;
    ground.touch_memory(BACKLOG).await?;
    ground.lab.settle().await?;
    let drained = drain(ground.lab, ground, 1, BACKLOG).await?;
    ensure!(
        drained.stored == BACKLOG,
        "{} of {BACKLOG} stored",
        drained.stored
    );
    Ok(drained.arm())
}

fn now() -> anyhow::Result<Timestamp> {
    Timestamp::try_from(clock::now()).context("the clock")
}
