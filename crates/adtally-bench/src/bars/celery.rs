//! Events per processor second, from the request to the row, over Django with Celery.

use std::time::Instant;

use super::accept::{saturate, warm_up};
use super::end_to_end;
use crate::args::BenchArgs;
use crate::figure::{Arm, Bound, Figure, per};
use crate::lab::Lab;
use crate::pairs::in_turn;
use crate::peers::django::{Django, Variant};
use crate::usage::Meter;

/// Bar 10.
pub(crate) async fn celery(lab: &Lab, args: &BenchArgs) -> anyhow::Result<Vec<Figure>> {
    let plain = (Bound::AtLeast(20.0), Bound::AtLeast(60.0));
    let expert = (Bound::AtLeast(4.0), Bound::AtLeast(10.0));
    Ok(vec![
        figure(lab, args, Variant::Plain, plain).await?,
        figure(lab, args, Variant::Expert, expert).await?,
    ])
}

async fn figure(
    lab: &Lab,
    args: &BenchArgs,
    variant: Variant,
    bounds: (Bound, Bound),
) -> anyhow::Result<Figure> {
    let name = format!("stored per cpu-second, over {} Celery", variant.name());
    let pairs = in_turn(
        &name,
        args.pairs,
        async || through_adtally(lab, args).await,
        async || through_celery(lab, args, variant).await,
    )
    .await?;
    Ok(Figure::of_pairs(10, name, "events/cpu-s", bounds, pairs))
}

async fn through_adtally(lab: &Lab, args: &BenchArgs) -> anyhow::Result<Arm> {
    Ok(per_cpu_second(
        end_to_end::through_adtally(lab, args).await?,
    ))
}

/// The same load for the same time. What it has queued by then takes it much longer to store.
async fn through_celery(lab: &Lab, args: &BenchArgs, variant: Variant) -> anyhow::Result<Arm> {
    let peer = Django::start(lab, variant).await?;
    let warm = warm_up(peer.address, 1, args.connections).await?;
    peer.reach(warm.accepted).await?;
    let meter = Meter::of_pids(lab, &peer.pids())?;
    let started = Instant::now();
    let answers = saturate(peer.address, 1, args.connections, args.duration()).await?;
    let accepted = warm.accepted + answers.accepted;
    peer.reach(accepted).await?;
    let seconds = started.elapsed().as_secs_f64();
    let arm = per_cpu_second(Arm::rate(answers.accepted, seconds, meter.stop()?));
    peer.stop(accepted).await?;
    Ok(arm)
}

/// Compared by all processor time but the generator's own.
fn per_cpu_second(arm: Arm) -> Arm {
    let value = per(arm.events, arm.cpu.of_others());
    arm.by(value)
}
