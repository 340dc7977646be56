//! `adtally partitions`: the raw events of each UTC day, and an end to those that are old.

use std::io::Write;
use std::time::Duration;

use adtally_domain::parse_age;
use adtally_service::{DatabaseArgs, Failure, Shutdown, switch};
use adtally_store::{Partition, Store};
use anyhow::anyhow;
use chrono::NaiveDate;
use clap::Args;
use indicatif::HumanBytes;
use serde::Serialize;

use crate::numbers::{counted, thousands};
use crate::tables::{table, text};
use crate::{database, json, progress};

/// Days dropped in one transaction: each partition costs the server a handful of locks.
const AT_ONCE: usize = 30;

const EXAMPLES: &str = "\
Examples:
  adtally partitions list
  adtally partitions drop --before 2026-06-01
  adtally partitions drop --before 2026-06-01 --yes

Dropping is for good, and the one way that closes hours in order: their totals stay, no roll-up makes them
anew, late events become dead letters too_old, and the audit says where it begins. Days are UTC days. Never
use DROP TABLE: the audit would miss the partition from then on.";

/// See the raw events of each day, and drop those of old days.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub struct PartitionsArgs {
    #[command(subcommand)]
    command: Subcommand,
}

#[derive(Debug, Clone, clap::Subcommand)]
enum Subcommand {
    /// List the partitions, oldest first
    List(ListArgs),
    /// Drop the raw events of every day before one
    Drop(DropArgs),
}

#[derive(Debug, Clone, Args)]
struct ListArgs {
    /// Print one JSON document instead of a table
    #[arg(long, env = "ADTALLY_PARTITIONS_JSON", value_parser = switch)]
    json: bool,
    #[command(flatten)]
    database: DatabaseArgs,
}

#[derive(Debug, Clone, Args)]
struct DropArgs {
    /// The first UTC day that is kept, such as 2026-06-01
    #[arg(long, env = "ADTALLY_PARTITIONS_BEFORE", value_name = "DAY")]
    before: NaiveDate,
    /// How long after its end a total counts as final; nothing later is dropped
    #[arg(long, env = "ADTALLY_FINAL_AFTER", value_name = "TIME", default_value = "24h",
          value_parser = parse_age)]
    final_after: Duration,
    /// Drop them; without it they are only shown
    #[arg(long, env = "ADTALLY_PARTITIONS_YES", value_parser = switch)]
    yes: bool,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// What `list --json` prints.
#[derive(Debug, Serialize)]
struct Listed {
    /// From when on raw events are kept; null while none were dropped.
    raw_from: Option<String>,
    partitions: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    name: String,
    day: String,
    /// As PostgreSQL last estimated.
    rows: u64,
    bytes: u64,
}

/// Does what `args` say and writes what came of it.
///
/// # Errors
/// When the database is away, or days are still needed.
pub(crate) async fn run(
    args: &PartitionsArgs,
    stop: &Shutdown,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    match &args.command {
        Subcommand::List(args) => list(args, out).await,
        Subcommand::Drop(args) => drop(args, stop, out).await,
    }
}

async fn list(args: &ListArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let store = database::open(&args.database).await?;
    let partitions = store.partitions().await.map_err(database::failure)?;
    let raw_from = store.raw_from().await.map_err(database::failure)?;
    if args.json {
        let rows = partitions.into_iter().map(|partition| Row {
            name: partition.name,
            day: partition.day.to_string(),
            rows: partition.rows,
            bytes: partition.bytes,
        });
        let listed = Listed {
            raw_from: raw_from.map(|at| at.to_string()),
            partitions: rows.collect(),
        };
        return json::write(&listed, out);
    }
    show(&partitions, out)?;
    if let Some(raw_from) = raw_from {
        writeln!(out, "raw events are kept from {raw_from} on")?;
    }
    Ok(())
}

fn show(partitions: &[Partition], out: &mut impl Write) -> anyhow::Result<()> {
    let mut shown = table(&["partition", "day", "#rows (estimated)", "#size"]);
    for partition in partitions {
        shown.add_row([
            partition.name.clone(),
            partition.day.to_string(),
            thousands(partition.rows),
            HumanBytes(partition.bytes).to_string(),
        ]);
    }
    out.write_all(text(&shown).as_bytes())?;
    let bytes = partitions.iter().map(|partition| partition.bytes).sum();
    let count = counted(partitions.len() as u64, "partition");
    writeln!(out, "{count}, {}", HumanBytes(bytes))?;
    Ok(())
}

async fn drop(args: &DropArgs, stop: &Shutdown, out: &mut impl Write) -> anyhow::Result<()> {
    let last = args.before.pred_opt();
    let last = last.ok_or_else(|| Failure::usage("--before: there is no day before it"))?;
    let store = database::open(&args.database).await?;
    let zone = database::zone(&store).await?;
    let may = store.may_drop_partition(zone, last, args.final_after).await;
    may.map_err(database::failure)?;
    let mut partitions = store.partitions().await.map_err(database::failure)?;
    partitions.retain(|partition| partition.day <= last);
    show(&partitions, out)?;
    if !args.yes {
        writeln!(out, "nothing was dropped: add --yes to drop them for good")?;
        return Ok(());
    }
    drop_all(args, &store, &partitions, last, stop, out).await
}

async fn drop_all(
    args: &DropArgs,
    store: &Store,
    partitions: &[Partition],
    last: NaiveDate,
    stop: &Shutdown,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let zone = database::zone(store).await?;
    let bar = progress::count(partitions.len() as u64);
    // The end of each step, and of all: it moves where raw events begin even if no partition is left.
    let ends = partitions.chunks(AT_ONCE).filter_map(<[Partition]>::last);
    let ends = ends
        .map(|partition| partition.day)
        .filter(|day| *day < last);
    for day in ends.chain([last]) {
        if stop.is_requested() {
            return Err(anyhow!("interrupted; run the command again to go on"));
        }
        let dropped = store.drop_partition(zone, day, args.final_after).await;
        dropped.map_err(database::failure)?;
        bar.set_position(partitions.partition_point(|partition| partition.day <= day) as u64);
    }
    bar.finish_and_clear();
    let raw_from = store.raw_from().await.map_err(database::failure)?;
    let count = counted(partitions.len() as u64, "partition");
    write!(out, "dropped {count}")?;
    match raw_from {
        Some(raw_from) => writeln!(out, "; raw events are kept from {raw_from} on")?,
        None => writeln!(out)?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use adtally_devstack::testing::TestStack;
    use adtally_domain::EventKind;
    use adtally_store::EventBatch;
    use clap::FromArgMatches;

    use super::*;
    use crate::database::tests::{event, migrated, store};

    async fn ran(words: &str, url: &str) -> (String, anyhow::Result<()>) {
        let command = PartitionsArgs::augment_args(clap::Command::new("test"));
        let words = ["test"].into_iter().chain(words.split_whitespace());
        let matches = command.get_matches_from(words.chain(["--database-url", url]));
        let args = PartitionsArgs::from_arg_matches(&matches).unwrap();
        let mut out = Vec::new();
        let result = run(&args, &Shutdown::manual(), &mut out).await;
        (String::from_utf8(out).unwrap(), result)
    }

    #[tokio::test]
    async fn days_are_dropped_only_on_demand_and_once_nothing_needs_them() {
        let database = TestStack::shared().database("partitions");
        migrated(&database, "").await.unwrap();
        let store = store(&database);
        let zone = adtally_domain::ReportingZone::UTC;
        let old = event(-100, 1, EventKind::Click, 1);
        let batch = EventBatch::new(std::slice::from_ref(&old), Vec::new());
        store.store_events(zone, batch).await.unwrap();
        let day = old.occurred_at().to_datetime().date_naive();
        let before = day.succ_opt().unwrap();
        let words = format!("drop --before {before} --final-after 1h");

        let (_, result) = ran(&words, database.url()).await;
        let error = result.unwrap_err().to_string();
        assert!(error.contains("still waits for a roll-up"), "{error}");
        database.psql("DELETE FROM dirty_hours").unwrap();

        let (text, result) = ran(&words, database.url()).await;
        result.unwrap();
        assert!(text.contains("nothing was dropped: add --yes"), "{text}");
        let (text, result) = ran("list --json", database.url()).await;
        result.unwrap();
        assert!(text.contains(&format!("\"day\": \"{day}\"")), "{text}");
        assert!(text.contains("\"raw_from\": null"), "{text}");

        let (text, result) = ran(&format!("{words} --yes"), database.url()).await;
        result.unwrap();
        assert!(text.contains("dropped 1 partition; raw events"), "{text}");
        let (text, result) = ran("list", database.url()).await;
        result.unwrap();
        assert!(
            text.contains(&format!("from {before}T00:00:00Z on")),
            "{text}"
        );

        let tomorrow = format!("drop --before {} --yes", before + chrono::Days::new(40_000));
        let (_, result) = ran(&tomorrow, database.url()).await;
        assert!(result.unwrap_err().to_string().contains("is final at"));
    }
}
