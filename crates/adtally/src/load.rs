//! `adtally load`: generated events at a steady rate, and what became of them.

mod alarm;
mod args;
mod drive;
mod latency;
mod ledger;
mod report;
mod schedule;
#[cfg(test)]
mod tests;
mod traffic;
mod verify;
mod zipf;

use std::io::Write;
use std::time::Duration;

use adtally_service::Shutdown;
use anyhow::anyhow;
use indicatif::ProgressBar;

use crate::api::{Client, ClientOptions};
use crate::numbers::{per_second, short, thousands};
use crate::queues::Queues;
use crate::{database, json, progress};
pub use args::LoadArgs;
use drive::{Books, Plan, drive};
use ledger::{Fate, Ledger};
use report::Report;
use schedule::Schedule;
pub(crate) use traffic::{Traffic, TrafficShape};
use verify::Verifier;
pub use zipf::Zipf;

/// Sends what `args` ask for and writes what came of it.
///
/// # Errors
/// When a server is away, no event was accepted, or verification found an offence.
pub(crate) async fn run(
    args: &LoadArgs,
    shutdown: Shutdown,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let options = ClientOptions {
        connections: args.connections as usize,
        timeout: args.timeout,
    };
    let client = Client::new(args.api.resolve()?, options)?;
    let verifier = verifier(args).await?;
    client.reach().await?;

    let plan = plan(args);
    let requests = plan.schedule.requests();
    let bar = progress::time(args.duration);
    let ledger = Ledger::new(verifier.is_some());
    let show = |books: &Books, elapsed| show(&bar, books, elapsed);
    let books = drive(plan, client, traffic(args), ledger, &shutdown, show).await?;
    bar.finish_and_clear();

    let mut report = Report::new(&books, args.rate, requests);
    if !args.json {
        report.write(out)?;
    }
    if let Some(mut verifier) = verifier {
        let bar = progress::wait("waiting until the queues are empty");
        // The signal that ended the run early must not end the check of what was sent.
        let fresh = Shutdown::on_signals()?;
        let verification = verifier.verify(&books.ledger, &fresh).await;
        bar.finish_and_clear();
        report.verification = Some(verification.map_err(database::failure)?);
    }
    finish(args, &report, out)
}

/// Writes what is left to write and judges the run.
fn finish(args: &LoadArgs, report: &Report, out: &mut impl Write) -> anyhow::Result<()> {
    if args.json {
        json::write(report, out)?;
    } else if let Some(verification) = &report.verification {
        verification.write(out)?;
    }
    if report
        .verification
        .as_ref()
        .is_some_and(|verification| !verification.holds())
    {
        return Err(anyhow!("the events are not where their answers promised"));
    }
    if report.accepted() == 0 {
        return Err(anyhow!("no event was accepted"));
    }
    Ok(())
}

/// Connects to the servers that verification needs, before anything is sent.
async fn verifier(args: &LoadArgs) -> anyhow::Result<Option<Verifier>> {
    if !args.verify.verify {
        return Ok(None);
    }
    let store = database::open(&args.verify.database).await?;
    let queues = Queues::connect(&args.verify.broker).await?;
    Ok(Some(Verifier::new(
        store,
        queues,
        args.verify.verify_timeout,
    )))
}

fn plan(args: &LoadArgs) -> Plan {
    Plan {
        schedule: Schedule::new(args.rate, args.batch, args.duration),
        batch: args.batch,
        connections: args.connections,
        repeat_share: args.traffic.repeat_share,
    }
}

fn traffic(args: &LoadArgs) -> Traffic {
    let shape = TrafficShape {
        ads: args.traffic.ads,
        slope: args.traffic.slope,
        click_share: args.traffic.click_share,
    };
    Traffic::new(shape, args.traffic.seed.unwrap_or_else(rand::random))
}

fn show(bar: &ProgressBar, books: &Books, elapsed: Duration) {
    bar.set_position(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX));
    let accepted = books.ledger.count(Fate::Accepted);
    let others = [Fate::Rejected, Fate::Refused, Fate::Unknown];
    let others: u64 = others
        .into_iter()
        .map(|fate| books.ledger.count(fate))
        .sum();
    bar.set_message(format!(
        "{} accepted ({}/s), {} not, p99 {}",
        thousands(accepted),
        thousands(per_second(accepted, elapsed)),
        thousands(others),
        short(books.latencies.per_mille(990)),
    ));
}
