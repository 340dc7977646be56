//! How late the 202 comes at half of the maximum, over the least that its parts take.

use anyhow::ensure;

use super::accept::{check_queued, load, maximum, warm_up};
use crate::args::BenchArgs;
use crate::figure::{Arm, Bound, Figure};
use crate::generator::{Answers, Pace};
use crate::lab::Lab;
use crate::pairs::in_turn;
use crate::peers::minimal::{self, Confirmed};
use crate::program::Program;
use crate::usage::Meter;

/// Confirmed messages a second of the reference: one every 2 ms. How many packs the API makes is its
/// own affair, and at a rate that is far from the broker's limit a confirm is as late with some more
/// or fewer of them.
const CONFIRMS: f64 = 500.0;
/// Unconfirmed messages of the reference at most.
const WINDOW: usize = 256;
/// Bytes of an event in a message.
const EVENT_BYTES: f64 = 100.0;
/// What is compared.
const QUANTILE: f64 = 0.99;

/// An arm by its whole run, and the same one by its median second, which no standstill of the machine
/// decides.
type Arms = (Arm, Arm);

/// Bar 8.
pub(crate) async fn latency(lab: &Lab, args: &BenchArgs) -> anyhow::Result<Vec<Figure>> {
    let rate = maximum(lab, args).await? / 2.0;
    log::info!("half of the maximum is {rate:.0} requests a second");
    let name = "p99 of the 202 at half of the maximum";
    let (mut api, mut parts) = (Vec::new(), Vec::new());
    let pairs = in_turn(
        name,
        args.pairs,
        async || {
            let (run, second) = through_api(lab, args, rate).await?;
            api.push(second);
            Ok(run)
        },
        async || {
            let (run, second) = through_parts(lab, args, rate).await?;
            parts.push(second);
            Ok(run)
        },
    )
    .await?;
    let of_seconds = api.into_iter().zip(parts).collect();
    let bounds = (Bound::AtMost(3.0), Bound::AtMost(1.5));
    Ok(vec![
        Figure::of_pairs(8, name, "ms", bounds, pairs),
        Figure::of_pairs(8, "p99 of the median second", "ms", bounds, of_seconds),
    ])
}

async fn through_api(lab: &Lab, args: &BenchArgs, rate: f64) -> anyhow::Result<Arms> {
    let ground = lab.ground().await?;
    let api = Program::api(&ground, &[]).await?;
    let warm = warm_up(api.address, 1, args.connections).await?;
    let meter = Meter::start(lab, &[("api", &api)])?;
    let answers = at_rate(&api, args, rate).await?;
    let arm = Arm::time(
        answers.requests,
        answers.elapsed.as_secs_f64(),
        meter.stop()?,
    );
    api.stop().await?;
    check_queued(&ground, warm.accepted + answers.accepted).await?;
    ground.clear().await?;
    let latencies = &answers.latencies;
    let second = arm.clone().by(latencies.of_median_second(QUANTILE));
    Ok((arm.by(latencies.of_run(QUANTILE)?), second))
}

/// The bare handler at the same rate, then a bare confirm: their latencies add up.
async fn through_parts(lab: &Lab, args: &BenchArgs, rate: f64) -> anyhow::Result<Arms> {
    let bare = Program::bare(lab, args.bare_workers).await?;
    warm_up(bare.address, 1, args.connections).await?;
    let meter = Meter::start(lab, &[("bare", &bare)])?;
    let answers = at_rate(&bare, args, rate).await?;
    let confirmed = confirms(lab, args, rate).await?;
    let arm = Arm::time(
        answers.requests,
        answers.elapsed.as_secs_f64(),
        meter.stop()?,
    );
    bare.stop().await?;
    let (handler, confirm) = (&answers.latencies, &confirmed.latencies);
    let run = handler.of_run(QUANTILE)? + confirm.of_run(QUANTILE)?;
    let second = handler.of_median_second(QUANTILE) + confirm.of_median_second(QUANTILE);
    Ok((arm.clone().by(run), arm.by(second)))
}

async fn at_rate(server: &Program, args: &BenchArgs, rate: f64) -> anyhow::Result<Answers> {
    let (connections, pace) = (args.connections, Pace::Open(rate));
    load(server.address, 1, connections, pace, args.duration()).await
}

/// Messages of as many bytes as the events that come between two of them.
async fn confirms(lab: &Lab, args: &BenchArgs, rate: f64) -> anyhow::Result<Confirmed> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "some thousand bytes"
    )]
    let body = vec![b'x'; (rate / CONFIRMS * EVENT_BYTES) as usize];
    let (rate, duration) = (Some(CONFIRMS), args.duration());
    let confirmed = minimal::publish(lab, "bare_confirms", &body, WINDOW, rate, duration).await?;
    ensure!(confirmed.messages > 0, "nothing was confirmed");
    log::debug!(
        "{} confirms in {:.1} s",
        confirmed.messages,
        confirmed.elapsed.as_secs_f64()
    );
    Ok(confirmed)
}
