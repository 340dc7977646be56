//! From the request to the row, with everything on the same processors.

use std::time::Instant;

use super::accept::{few_and_many, saturate, through_bare, warm_up};
use crate::args::BenchArgs;
use crate::drain::{Progress, reach};
use crate::figure::{Arm, Bound, Figure};
use crate::lab::Lab;
use crate::pairs::in_turn;
use crate::program::Program;
use crate::usage::Meter;

/// Bar 9.
pub(crate) async fn end_to_end(lab: &Lab, args: &BenchArgs) -> anyhow::Result<Vec<Figure>> {
    let bounds = (Bound::AtLeast(0.30), Bound::AtLeast(0.50));
    few_and_many(args, async |args, over| {
        let name = format!("accepted and stored, {over}");
        let pairs = in_turn(
            &name,
            args.pairs,
            async || through_adtally(lab, args).await,
            async || through_bare(lab, 1, args).await,
        )
        .await?;
        Ok(Figure::of_pairs(9, &name, "events/s", bounds, pairs))
    })
    .await
}

/// One API and one worker. The time ends when the last event is stored.
pub(super) async fn through_adtally(lab: &Lab, args: &BenchArgs) -> anyhow::Result<Arm> {
    let ground = lab.ground().await?;
    let api = Program::api(&ground, &[]).await?;
    let workers = [Program::worker(&ground).await?];
    let warm = warm_up(api.address, 1, args.connections).await?;
    reach(&workers, warm.accepted, Progress::total).await?;
    let [worker] = &workers;
    let meter = Meter::start(lab, &[("api", &api), ("worker", worker)])?;
    let started = Instant::now();
    let answers = saturate(api.address, 1, args.connections, args.duration()).await?;
    let accepted = warm.accepted + answers.accepted;
    reach(&workers, accepted, Progress::total).await?;
    let seconds = started.elapsed().as_secs_f64();
    let arm = Arm::rate(answers.accepted, seconds, meter.stop()?);
    api.stop().await?;
    for worker in workers {
        worker.stop().await?;
    }
    ground.has_rows(accepted).await?;
    ground.clear().await?;
    Ok(arm)
}
