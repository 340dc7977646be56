//! How fast a worker stores a backlog, over psql's binary `\copy` of the same rows into the same table.

use std::path::PathBuf;

use anyhow::ensure;

use super::accept::ADS;
use crate::args::BenchArgs;
use crate::backlog::{Backlog, Period, Repeats};
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

/// The order of the rows that psql copies.
#[derive(Debug, Clone, Copy)]
enum Order {
    /// That of their keys: each goes to the end of the index.
    Ids,
    /// That in which the worker stored them, as any dump of its table has them: clicks have a queue of
    /// their own, so that no flood of impressions holds them up, and come long before the impressions
    /// of their time.
    Stored,
}

/// Ours and the reference, in turn.
type Pairs = Vec<(Arm, Arm)>;

/// Bar 3, also over a copy that has the rows in the order in which the worker stored them.
pub(crate) async fn once(lab: &Lab, args: &BenchArgs) -> anyhow::Result<Vec<Figure>> {
    let wall = (Bound::AtLeast(0.75), Bound::AtLeast(0.95));
    let cpu = (Bound::AtMost(1.6), Bound::AtMost(1.25));
    let bench = Bench { lab, args };
    let rate = |name, pairs| Figure::of_pairs(3, name, "events/s", wall, pairs);
    let (by_ids, as_stored) = bench.both("stored, one connection", ONE).await?;
    let mut figures = vec![
        rate("stored, one connection", by_ids),
        rate("stored, one connection, copy as stored", as_stored),
    ];
    let time = |name, pairs| Figure::of_pairs(3, name, "us/event", cpu, by_cpu(pairs));
    let (by_ids, as_stored) = bench.both("stored, two connections", TWO).await?;
    figures.extend([
        time("stored, cpu per event", by_ids),
        time("stored, cpu per event, copy as stored", as_stored),
    ]);
    Ok(figures)
}

fn by_cpu(pairs: Pairs) -> Pairs {
    let pairs = pairs.into_iter();
    pairs
        .map(|(ours, copy)| (ours.by_cpu(), copy.by_cpu()))
        .collect()
}

/// Bar 4. What counts are rows: an event that comes twice is stored once.
pub(crate) async fn repeated(lab: &Lab, args: &BenchArgs) -> anyhow::Result<Vec<Figure>> {
    let some = (Bound::AtLeast(0.60), Bound::AtLeast(0.80));
    let all = (Bound::AtLeast(0.35), Bound::AtLeast(0.50));
    let bench = Bench { lab, args };
    let one = bench
        .pairs("stored, 1 % twice", Repeats::OneInHundred)
        .await?;
    let two = bench.pairs("stored, all twice", Repeats::All).await?;
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
    async fn pairs(&self, name: &str, repeats: Repeats) -> anyhow::Result<Pairs> {
        in_turn(
            name,
            self.args.pairs,
            async || self.work(repeats, ONE, &[Order::Ids]).await,
            async || self.copy(Order::Ids).await,
        )
        .await
    }

    /// The same with a copy in either order after each worker.
    async fn both(&self, name: &str, connections: &str) -> anyhow::Result<(Pairs, Pairs)> {
        let orders = [Order::Ids, Order::Stored];
        let mut copies = Vec::new();
        let by_ids = in_turn(
            name,
            self.args.pairs,
            async || self.work(Repeats::None, connections, &orders).await,
            async || {
                let by_ids = self.copy(Order::Ids).await?;
                copies.push(self.copy(Order::Stored).await?);
                Ok(by_ids)
            },
        )
        .await?;
        let ours = by_ids.iter().map(|(ours, _)| ours.clone());
        let as_stored = ours.zip(copies).collect();
        Ok((by_ids, as_stored))
    }

    fn file(&self, order: Order) -> PathBuf {
        self.lab.dir().join(format!("rows-{order:?}.bin"))
    }

    async fn work(
        &self,
        repeats: Repeats,
        connections: &str,
        orders: &[Order],
    ) -> anyhow::Result<Arm> {
        let ground = self.lab.ground().await?;
        let backlog = Backlog {
            events: self.args.backlog,
            ads: ADS,
            repeats,
            period: Period::recent()?,
        };
        let queued = backlog.fill(&ground).await?;
        self.prepare(&ground).await?;
        let environment = [("ADTALLY_STORE_CONNECTIONS", connections.to_owned())];
        let drained = drain_with(self.lab, &ground, 1, queued, &environment).await?;
        self.check(&drained, queued)?;
        for &order in orders {
            self.export(&ground, order).await?;
        }
        ground.clear().await?;
        let rows = drained.measured * drained.stored / queued;
        Ok(Arm::rate(rows, drained.seconds, drained.cpu))
    }

    /// Writes the rows to the file that is copied from.
    async fn export(&self, ground: &Ground<'_>, order: Order) -> anyhow::Result<()> {
        let keys = match order {
            Order::Ids => "event_id",
            Order::Stored => "tableoid, ctid",
        };
        let export = format!(
            "\\copy (SELECT {COLUMNS} FROM events ORDER BY {keys}) TO '{}' (FORMAT binary)",
            self.file(order).display()
        );
        ground.psql(&export).await?;
        Ok(())
    }

    /// What both sides find, right before they begin.
    async fn prepare(&self, ground: &Ground<'_>) -> anyhow::Result<()> {
        make_partitions(ground).await?;
        ground.touch_memory(self.args.backlog).await?;
        self.lab.settle().await
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

    async fn copy(&self, order: Order) -> anyhow::Result<Arm> {
        let ground = self.lab.ground().await?;
        self.prepare(&ground).await?;
        let import = format!(
            "\\copy events ({COLUMNS}) FROM '{}' (FORMAT binary)",
            self.file(order).display()
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
