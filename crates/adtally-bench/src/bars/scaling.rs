//! What a second worker costs, and what publishing loses while a worker is at work.

use anyhow::{bail, ensure};

use super::accept::{ADS, check_queued, few_and_many, load, maximum, warm_up};
use crate::args::BenchArgs;
use crate::backlog;
use crate::drain::{Progress, drain, reach};
use crate::figure::{Arm, Bound, Figure};
use crate::generator::{Answers, Pace};
use crate::lab::Lab;
use crate::pairs::in_turn;
use crate::program::Program;
use crate::usage::Meter;

/// Events that one or two workers store.
const BACKLOG: u64 = 2_000_000;
/// Events that a worker has before it for each second while others are published: more than it stores.
const BACKLOG_PER_SECOND: u64 = 1_000_000;

/// Bar 11.
pub(crate) async fn scaling(lab: &Lab, args: &BenchArgs) -> anyhow::Result<Vec<Figure>> {
    let mut figures = vec![two_workers(lab, args).await?];
    let beside = few_and_many(args, async |args, over| {
        while_draining(lab, args, &format!("accepted while draining, {over}")).await
    });
    figures.extend(beside.await?);
    Ok(figures)
}

/// The processor time of everything, per event, with two workers over one.
async fn two_workers(lab: &Lab, args: &BenchArgs) -> anyhow::Result<Figure> {
    let name = "two workers, cpu per event";
    let pairs = in_turn(
        name,
        args.pairs,
        async || store(lab, 2).await,
        async || store(lab, 1).await,
    )
    .await?;
    let bounds = (Bound::AtMost(1.15), Bound::AtMost(1.05));
    Ok(Figure::of_pairs(11, name, "us/event", bounds, pairs))
}

async fn store(lab: &Lab, workers: usize) -> anyhow::Result<Arm> {
    let ground = lab.ground().await?;
    backlog::fill(&ground, BACKLOG, ADS).await?;
    lab.settle().await?;
    let drained = drain(lab, &ground, workers, BACKLOG).await?;
    ensure!(
        drained.stored == BACKLOG,
        "{} of {BACKLOG} stored",
        drained.stored
    );
    ground.clear().await?;
    Ok(drained.arm().by_cpu())
}

/// The rate at which half of the measured maximum is accepted beside a worker that drains a backlog,
/// over the same without a worker.
async fn while_draining(lab: &Lab, args: &BenchArgs, name: &str) -> anyhow::Result<Figure> {
    let pace = Pace::Open(maximum(lab, args).await? / 2.0);
    let pairs = in_turn(
        name,
        args.pairs,
        async || beside_a_worker(lab, args, pace).await,
        async || alone(lab, args, pace).await,
    )
    .await?;
    let bounds = (Bound::AtLeast(0.9), Bound::AtLeast(0.95));
    Ok(Figure::of_pairs(11, name, "events/s", bounds, pairs))
}

async fn alone(lab: &Lab, args: &BenchArgs, pace: Pace) -> anyhow::Result<Arm> {
    let ground = lab.ground().await?;
    let api = Program::api(&ground, &[]).await?;
    let warm = warm_up(api.address, 1, args.connections).await?;
    let meter = Meter::start(lab, &[("api", &api)])?;
    let answers = load(api.address, 1, args.connections, pace, args.duration()).await?;
    let arm = arm_of(&answers, meter)?;
    api.stop().await?;
    check_queued(&ground, warm.accepted + answers.accepted).await?;
    ground.clear().await?;
    Ok(arm)
}

async fn beside_a_worker(lab: &Lab, args: &BenchArgs, pace: Pace) -> anyhow::Result<Arm> {
    let ground = lab.ground().await?;
    let backlog = BACKLOG_PER_SECOND * args.seconds;
    backlog::fill(&ground, backlog, ADS).await?;
    lab.settle().await?;
    let api = Program::api(&ground, &[]).await?;
    let warm = warm_up(api.address, 1, args.connections).await?;
    let yields = [("ADTALLY_YIELD_CPU", "true".to_owned())];
    let worker = Program::worker_with(&ground, &yields).await?;
    let meter = Meter::start(lab, &[("api", &api), ("worker", &worker)])?;
    let answers = load(api.address, 1, args.connections, pace, args.duration()).await?;
    let arm = arm_of(&answers, meter)?;
    let workers = [worker];
    if Progress::of(&workers).await?.total() >= backlog {
        bail!("a backlog of {backlog} events was gone before the load");
    }
    api.stop().await?;
    let queued = backlog + warm.accepted + answers.accepted;
    reach(&workers, queued, Progress::total).await?;
    for worker in workers {
        worker.stop().await?;
    }
    ground.has_rows(queued).await?;
    ground.clear().await?;
    Ok(arm)
}

fn arm_of(answers: &Answers, meter: Meter) -> anyhow::Result<Arm> {
    let seconds = answers.elapsed.as_secs_f64();
    Ok(Arm::rate(answers.accepted, seconds, meter.stop()?))
}
