//! How fast a worker stores a backlog, over psql's binary `\copy` of the same rows into the same table.

use std::path::PathBuf;

use anyhow::ensure;

use super::accept::ADS;
use crate::args::BenchArgs;
use crate::backlog::{Backlog, Repeats};
use crate::drain::{Drained, drain_with};
use crate::figure::{Arm, Bound, Figure};
use crate::lab::{Ground, Lab};
use crate::pairs::in_turn;
use crate::psql;
use crate::usage::Meter;

/// The columns that hold something.
const COLUMNS: &str = "event_id, ad_id, kind, verdict, rule_version, received_at, impression_id, ip, \
                       visitor_id, user_agent, referer, placement, source";

/// Connections over which a worker stores one queue.
const ONE: &str = "1";
const TWO: &str = "2";

/// Bar 3.
pub(crate) async fn once(lab: &Lab, args: &BenchArgs) -> anyhow::Result<Vec<Figure>> {
    let wall = (Bound::AtLeast(0.75), Bound::AtLeast(0.95));
    let cpu = (Bound::AtMost(1.6), Bound::AtMost(1.25));
    let bench = Bench { lab, args };
    let by_rate = bench
        .pairs("stored, one connection", Repeats::None, ONE)
        .await?;
    let by_cpu = bench
        .pairs("stored, two connections", Repeats::None, TWO)
        .await?;
    let by_cpu = by_cpu
        .into_iter()
        .map(|(ours, copy)| (ours.by_cpu(), copy.by_cpu()));
    Ok(vec![
        Figure::of_pairs(3, "stored, one connection", "events/s", wall, by_rate),
        Figure::of_pairs(
            3,
            "stored, cpu per event",
            "us/event",
            cpu,
            by_cpu.collect(),
        ),
    ])
}

/// Bar 4. What counts are rows: an event that comes twice is stored once.
pub(crate) async fn repeated(lab: &Lab, args: &BenchArgs) -> anyhow::Result<Vec<Figure>> {
    let some = (Bound::AtLeast(0.60), Bound::AtLeast(0.80));
    let all = (Bound::AtLeast(0.35), Bound::AtLeast(0.50));
    let bench = Bench { lab, args };
    let one = bench
        .pairs("stored, 1 % twice", Repeats::OneInHundred, ONE)
        .await?;
    let two = bench.pairs("stored, all twice", Repeats::All, ONE).await?;
    Ok(vec![
        Figure::of_pairs(4, "stored, 1 % twice", "rows/s", some, one),
        Figure::of_pairs(4, "stored, all twice", "rows/s", all, two),
    ])
}

struct Bench<'a> {
    lab: &'a Lab,
    args: &'a BenchArgs,
}

impl Bench<'_> {
    /// Each reference copies the very rows that the worker before it has stored.
    async fn pairs(
        &self,
        name: &str,
        repeats: Repeats,
        connections: &str,
    ) -> anyhow::Result<Vec<(Arm, Arm)>> {
        in_turn(
            name,
            self.args.pairs,
            async || self.work(repeats, connections).await,
            async || self.copy().await,
        )
        .await
    }

    fn file(&self) -> PathBuf {
        self.lab.dir().join("rows.bin")
    }

    async fn work(&self, repeats: Repeats, connections: &str) -> anyhow::Result<Arm> {
        let ground = self.lab.ground().await?;
        let backlog = Backlog {
            events: self.args.backlog,
            ads: ADS,
            repeats,
        };
        let queued = backlog.fill(&ground).await?;
        make_partitions(&ground).await?;
        self.lab.settle().await?;
        let environment = [("ADTALLY_STORE_CONNECTIONS", connections.to_owned())];
        let drained = drain_with(self.lab, &ground, 1, queued, &environment).await?;
        self.check(&drained, queued)?;
        let file = self.file();
        let export = format!(
            "\\copy (SELECT {COLUMNS} FROM events ORDER BY event_id) TO '{}' (FORMAT binary)",
            file.display()
        );
        ground.psql(&export).await?;
        ground.clear().await?;
        let rows = drained.measured * drained.stored / queued;
        Ok(Arm::rate(rows, drained.seconds, drained.cpu))
    }

    fn check(&self, drained: &Drained, queued: u64) -> anyhow::Result<()> {
        let wanted = (self.args.backlog, queued - self.args.backlog);
        let found = (drained.stored, drained.duplicates);
        ensure!(
            found == wanted,
            "stored and known are {found:?}, not {wanted:?}"
        );
        Ok(())
    }

    async fn copy(&self) -> anyhow::Result<Arm> {
        let ground = self.lab.ground().await?;
        make_partitions(&ground).await?;
        self.lab.settle().await?;
        let import = format!(
            "\\copy events ({COLUMNS}) FROM '{}' (FORMAT binary)",
            self.file().display()
        );
        let meter = Meter::start(self.lab, &[])?;
        let seconds = psql::timed(&ground, &[import]).await?;
        let arm = Arm::rate(self.args.backlog, seconds, meter.stop()?);
        ground.has_rows(self.args.backlog).await?;
        ground.clear().await?;
        Ok(arm)
    }
}

/// The days of yesterday, today and tomorrow, so that neither side has to make one.
async fn make_partitions(ground: &Ground<'_>) -> anyhow::Result<()> {
    ground
        .psql(
            "SELECT adtally_ensure_partition((now() AT TIME ZONE 'UTC')::date + offset_days) \
             FROM generate_series(-1, 1) AS offset_days",
        )
        .await?;
    Ok(())
}
