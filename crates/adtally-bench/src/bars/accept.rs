//! How fast the API takes events, over a handler that only parses and judges them.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::bail;

use crate::args::BenchArgs;
use crate::figure::{Arm, Bound, Figure};
use crate::generator::{Answers, Pace, drive};
use crate::lab::{Ground, Lab, touch_free_memory};
use crate::pairs::in_turn;
use crate::program::Program;
use crate::queues::drain;
use crate::traffic::Requests;
use crate::usage::Meter;

pub(super) const ADS: u32 = 10_000;
/// A closed loop over few connections measures how long the broker takes to confirm. So bars of
/// single events are also measured over as many as an API serves when it is busy.
const MANY_CONNECTIONS: usize = 512;
/// Before each arm is measured.
const WARM_UP: Duration = Duration::from_secs(1);

/// Bar 1: one event in each request.
pub(crate) async fn single(lab: &Lab, args: &BenchArgs) -> anyhow::Result<Vec<Figure>> {
    let bounds = (Bound::AtLeast(0.50), Bound::AtLeast(0.75));
    few_and_many(args, async |args, over| {
        let name = format!("accepted, single, {over}");
        figure(lab, args, 1, &name, 1, bounds).await
    })
    .await
}

/// Bar 2: arrays of 100.
pub(crate) async fn arrays(lab: &Lab, args: &BenchArgs) -> anyhow::Result<Vec<Figure>> {
    let bounds = (Bound::AtLeast(0.25), Bound::AtLeast(0.45));
    Ok(vec![
        figure(lab, args, 2, "accepted, arrays of 100", 100, bounds).await?,
    ])
}

/// A figure over the connections asked for, and one over many. The second argument names them.
pub(super) async fn few_and_many(
    args: &BenchArgs,
    figure: impl AsyncFn(&BenchArgs, &str) -> anyhow::Result<Figure>,
) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for connections in [args.connections, MANY_CONNECTIONS] {
        let args = BenchArgs {
            connections,
            ..args.clone()
        };
        let over = format!("{connections} connections");
        figures.push(figure(&args, &over).await?);
    }
    Ok(figures)
}

async fn figure(
    lab: &Lab,
    args: &BenchArgs,
    bar: u32,
    name: &str,
    batch: usize,
    bounds: (Bound, Bound),
) -> anyhow::Result<Figure> {
    let pairs = in_turn(
        name,
        args.pairs,
        async || through_api(lab, batch, args).await,
        async || through_bare(lab, batch, args).await,
    )
    .await?;
    Ok(Figure::of_pairs(bar, name, "events/s", bounds, pairs))
}

async fn through_api(lab: &Lab, batch: usize, args: &BenchArgs) -> anyhow::Result<Arm> {
    let ground = lab.ground().await?;
    let api = Program::api(&ground, &[]).await?;
    let warm = warm_up(api.address, batch, args.connections).await?;
    let meter = Meter::start(lab, &[("api", &api)])?;
    let answers = saturate(api.address, batch, args.connections, args.duration()).await?;
    let arm = Arm::rate(
        answers.accepted,
        answers.elapsed.as_secs_f64(),
        meter.stop()?,
    );
    api.stop().await?;
    check_queued(&ground, warm.accepted + answers.accepted).await?;
    ground.clear().await?;
    Ok(arm)
}

/// Takes everything out of a ground's queues and fails unless it is what was accepted.
pub(super) async fn check_queued(ground: &Ground<'_>, accepted: u64) -> anyhow::Result<()> {
    let queued = drain(ground).await?;
    if queued != accepted {
        bail!("{accepted} events were accepted and {queued} are queued");
    }
    Ok(())
}

/// Events per second that the API accepts when each request follows an answer.
pub(super) async fn maximum(lab: &Lab, args: &BenchArgs) -> anyhow::Result<f64> {
    Ok(through_api(lab, 1, args).await?.value)
}

pub(super) async fn through_bare(lab: &Lab, batch: usize, args: &BenchArgs) -> anyhow::Result<Arm> {
    let bare = Program::bare(lab, args.bare_workers).await?;
    warm_up(bare.address, batch, args.connections).await?;
    let meter = Meter::start(lab, &[("bare", &bare)])?;
    let answers = saturate(bare.address, batch, args.connections, args.duration()).await?;
    let arm = Arm::rate(
        answers.accepted,
        answers.elapsed.as_secs_f64(),
        meter.stop()?,
    );
    bare.stop().await?;
    Ok(arm)
}

/// What comes before each arm under load: memory as after other arms, and one second of the load.
pub(super) async fn warm_up(
    address: SocketAddr,
    batch: usize,
    connections: usize,
) -> anyhow::Result<Answers> {
    touch_free_memory().await?;
    saturate(address, batch, connections, WARM_UP).await
}

/// Requests as fast as they are answered.
pub(super) async fn saturate(
    address: SocketAddr,
    batch: usize,
    connections: usize,
    duration: Duration,
) -> anyhow::Result<Answers> {
    load(address, batch, connections, Pace::Closed, duration).await
}

/// Requests of `batch` events each.
pub(super) async fn load(
    address: SocketAddr,
    batch: usize,
    connections: usize,
    pace: Pace,
    duration: Duration,
) -> anyhow::Result<Answers> {
    tokio::task::spawn_blocking(move || {
        let mut requests = Requests::new(ADS, batch);
        let answers = drive(address, connections, pace, duration, &mut requests)?;
        log::debug!(
            "{pace:?}: latency in ms: p50 {}, p99 {}, p99.9 {}",
            answers.latencies.of_run(0.5)?,
            answers.latencies.of_run(0.99)?,
            answers.latencies.of_run(0.999)?
        );
        Ok(answers)
    })
    .await?
}
