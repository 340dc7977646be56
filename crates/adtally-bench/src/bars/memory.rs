//! Memory that does not grow with what waits.

use std::time::Duration;

use anyhow::ensure;

use super::accept::{ADS, saturate};
use crate::args::BenchArgs;
use crate::backlog;
use crate::drain::{Progress, drain, reach};
use crate::figure::{Arm, Bound, Figure, as_f64};
use crate::lab::{Ground, Lab};
use crate::pairs::in_turn;
use crate::program::Program;
use crate::usage::{Meter, peak_memory, present_memory};

/// Queued events of the two arms.
const MANY: u64 = 10_000_000;
const FEW: u64 = 100_000;
/// With the broker alive, until the API's memory is what its connections take.
const WARM_UP: Duration = Duration::from_secs(5);
/// How long the broker is dead.
const OUTAGE: Duration = Duration::from_secs(60);
/// Room for what a minute brings.
const SPOOL: &str = "4G";

/// Bar 7.
pub(crate) async fn memory(lab: &Lab, args: &BenchArgs) -> anyhow::Result<Vec<Figure>> {
    let mut figures = worker(lab, args).await?;
    figures.extend(api(lab, args).await?);
    Ok(figures)
}

/// A worker's peak with a long queue, over its peak with a short one.
async fn worker(lab: &Lab, args: &BenchArgs) -> anyhow::Result<Vec<Figure>> {
    let name = "worker's peak, 10 M over 100 k queued";
    let pairs = in_turn(
        name,
        args.pairs,
        async || drained(lab, MANY).await,
        async || drained(lab, FEW).await,
    )
    .await?;
    let bounds = (Bound::AtMost(1.10), Bound::AtMost(1.10));
    Ok(with_absolute(name, "worker's peak", bounds, pairs))
}

async fn drained(lab: &Lab, events: u64) -> anyhow::Result<Arm> {
    let ground = lab.ground().await?;
    backlog::fill(&ground, events, ADS).await?;
    lab.settle().await?;
    let drained = drain(lab, &ground, 1, events).await?;
    ensure!(
        drained.stored == events,
        "{} of {events} stored",
        drained.stored
    );
    ground.clear().await?;
    let peak = drained.peaks.iter().copied().max().unwrap_or_default();
    Ok(drained.arm().by(megabytes(peak)))
}

/// The API's peak through a minute without a broker, over its memory before.
async fn api(lab: &Lab, args: &BenchArgs) -> anyhow::Result<Vec<Figure>> {
    let name = "API's peak, broker dead over alive";
    let pairs = args.pairs;
    let mut done = Vec::with_capacity(pairs);
    // Not in turn: before and after are of one process.
    for number in 1..=pairs {
        let pair = outage(lab, args).await?;
        log::info!(
            "{name}: {number} of {pairs}: {:.1} MB against {:.1} MB",
            pair.0.value,
            pair.1.value
        );
        done.push(pair);
    }
    let bounds = (Bound::AtMost(1.3), Bound::AtMost(1.3));
    Ok(with_absolute(name, "API's peak", bounds, done))
}

/// One API under full load, before and after its broker dies.
async fn outage(lab: &Lab, args: &BenchArgs) -> anyhow::Result<(Arm, Arm)> {
    let ground = lab.ground().await?;
    let api = Program::api(&ground, &spool(lab, &ground)).await?;
    let alive = loaded(lab, &api, args.connections, WARM_UP).await?;
    let alive = alive.by(megabytes(present_memory(api.pid())?));
    lab.rabbitmq.kill();
    let dead = loaded(lab, &api, args.connections, OUTAGE).await;
    // Also after a failure: the broker is everybody's.
    lab.rabbitmq.restart().await?;
    let dead = dead?.by(megabytes(peak_memory(api.pid())?));
    store_all(&ground, api, alive.events + dead.events).await?;
    ground.clear().await?;
    Ok((dead, alive))
}

/// The API's own directory for what the broker cannot take.
fn spool(lab: &Lab, ground: &Ground<'_>) -> [(&'static str, String); 2] {
    let directory = lab.dir().join(format!("spool-{}", ground.prefix));
    [
        ("ADTALLY_SPOOL_DIR", directory.display().to_string()),
        ("ADTALLY_SPOOL_MAX_BYTES", SPOOL.to_owned()),
    ]
}

async fn loaded(
    lab: &Lab,
    api: &Program,
    connections: usize,
    duration: Duration,
) -> anyhow::Result<Arm> {
    let meter = Meter::start(lab, &[("api", api)])?;
    let answers = saturate(api.address, 1, connections, duration).await?;
    let seconds = answers.elapsed.as_secs_f64();
    Ok(Arm::rate(answers.accepted, seconds, meter.stop()?))
}

/// Waits until everything that was accepted is stored, and fails unless it is stored once. What was
/// in flight when the broker died may come twice to the worker.
async fn store_all(ground: &Ground<'_>, api: Program, accepted: u64) -> anyhow::Result<()> {
    let workers = [Program::worker(ground).await?];
    let progress = reach(&workers, accepted, |progress: Progress| progress.stored).await?;
    log::debug!("{} events came twice", progress.duplicates);
    api.stop().await?;
    for worker in workers {
        worker.stop().await?;
    }
    // What came twice may still have been on its way to the worker.
    ground.has_rows(accepted).await
}

/// The ratios, and our values by themselves: they have bounds of their own.
fn with_absolute(
    name: &str,
    what: &str,
    bounds: (Bound, Bound),
    pairs: Vec<(Arm, Arm)>,
) -> Vec<Figure> {
    let values = pairs.iter().map(|(ours, _)| ours.clone()).collect();
    let absolute = (Bound::AtMost(128.0), Bound::AtMost(64.0));
    vec![
        Figure::of_pairs(7, name, "MB", bounds, pairs),
        Figure::of_values(7, what, "MB", absolute, values),
    ]
}

fn megabytes(bytes: u64) -> f64 {
    as_f64(bytes) / 1e6
}
