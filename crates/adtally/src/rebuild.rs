//! `adtally rebuild`: totals of a range, made anew by the workers.

use std::io::Write;
use std::time::Duration;

use adtally_domain::{ReportingZone, Timestamp, parse_age};
use adtally_service::{DatabaseArgs, Failure, Shutdown};
use adtally_store::{Marked, Store};
use anyhow::anyhow;
use clap::Args;
use tokio::time::Instant;

use crate::numbers::counted;
use crate::stats::instant;
use crate::{database, progress};

/// How often is looked whether it is done.
const LOOK_EACH: Duration = Duration::from_millis(500);

const EXAMPLES: &str = "\
Examples:
  adtally rebuild --from 2026-11-22
  adtally rebuild --from '2026-11-22 06:00' --to '2026-11-22 08:00' --timeout 1h

Marks the hours and days that overlap the range and are over, and waits until beat and workers have rolled
them up. No total gets less by that: an hour of which raw events are gone keeps its totals and is named. To
lower totals on purpose, delete their rows of ad_hourly_stats and ad_daily_stats before. Times are RFC 3339,
or local times of the reporting zone without offset; --to is not included.";

/// Make the totals of a range anew, hours from raw events and days from hours.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub struct RebuildArgs {
    /// The first instant whose hour and day are made anew
    #[arg(long, env = "ADTALLY_REBUILD_FROM", value_name = "TIME")]
    from: String,
    /// The end of the range [default: now]
    #[arg(long, env = "ADTALLY_REBUILD_TO", value_name = "TIME")]
    to: Option<String>,
    /// How long to wait for the roll-ups
    #[arg(long, env = "ADTALLY_REBUILD_TIMEOUT", value_name = "TIME", default_value = "15m",
          value_parser = parse_age)]
    timeout: Duration,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// Marks what `args` name, waits for it and writes what came of it.
///
/// # Errors
/// When the database is away, it takes too long, or totals are not what their events add up to.
pub(crate) async fn run(
    args: &RebuildArgs,
    stop: &Shutdown,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let store = database::open(&args.database).await?;
    let zone = database::zone(&store).await?;
    let (from, to) = span(args, zone, &store).await?;
    let marked = store.mark_range(zone, from, to).await;
    let marked = marked.map_err(database::failure)?;
    let (hours, days) = (marked.hours.len() as u64, marked.days.len() as u64);
    let both = format!("{} and {}", counted(hours, "hour"), counted(days, "day"));
    if let Some(raw_from) = marked.raw_from.filter(|raw_from| from < *raw_from) {
        writeln!(
            out,
            "passed over what is before {raw_from}: its raw events were dropped"
        )?;
    }
    if hours + days == 0 {
        return Err(anyhow!(
            "there is nothing in this range that is over and has its raw events"
        ));
    }
    writeln!(out, "marked {both}")?;
    wait(args, &store, &marked, stop).await?;
    verify(&store, zone, from, to).await?;
    writeln!(out, "rebuilt: every total is what its events add up to")?;
    Ok(())
}

async fn span(
    args: &RebuildArgs,
    zone: ReportingZone,
    store: &Store,
) -> Result<(Timestamp, Timestamp), Failure> {
    let from = instant("--from", &args.from, zone)?;
    let to = match &args.to {
        Some(text) => instant("--to", text, zone)?,
        None => store.clock().await.map_err(database::failure)?,
    };
    if from >= to {
        let message = format!("--from ({from}) must be before --to ({to})");
        return Err(Failure::usage(message));
    }
    Ok((from, to))
}

async fn wait(
    args: &RebuildArgs,
    store: &Store,
    marked: &Marked,
    stop: &Shutdown,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + args.timeout;
    let all = marked.hours.len() + marked.days.len();
    let bar = progress::count(all as u64);
    loop {
        let hours = store.pending_hours().await.map_err(database::failure)?;
        let days = store.pending_days().await.map_err(database::failure)?;
        let hours = hours
            .iter()
            .filter(|hour| marked.hours.contains(hour))
            .count();
        let days = days.iter().filter(|day| marked.days.contains(day)).count();
        bar.set_position((all - hours - days) as u64);
        if hours + days == 0 {
            bar.finish_and_clear();
            return Ok(());
        }
        if deadline <= Instant::now() {
            let (hours, days) = (counted(hours as u64, "hour"), counted(days as u64, "day"));
            return Err(anyhow!(
                "{hours} and {days} still wait after {} s: see that a beat and a worker run; what is \
                 marked stays marked",
                args.timeout.as_secs()
            ));
        }
        if stop.requested_within(LOOK_EACH).await {
            return Err(anyhow!("interrupted; what is marked stays marked"));
        }
    }
}

async fn verify(
    store: &Store,
    zone: ReportingZone,
    from: Timestamp,
    to: Timestamp,
) -> anyhow::Result<()> {
    let report = store.audit_between(zone, from, to).await;
    let report = report.map_err(database::failure)?;
    if report.is_clean() {
        return Ok(());
    }
    let closed = report.closed_hours.iter();
    let closed: Vec<_> = closed.map(|hour| hour.start.to_string()).take(5).collect();
    Err(anyhow!(
        "not everything could be made anew: {} kept their totals because raw events are gone ({}), {} \
         differ; see `adtally audit`",
        counted(report.closed_hours.len() as u64, "hour"),
        closed.join(", "),
        counted(report.mismatches.len() as u64, "total"),
    ))
}
