//! Totals from the database.

use adtally_domain::ReportingZone;
use adtally_service::Failure;
use adtally_store::{StatsSpan, Store, StoreError};

use super::args::StatsArgs;
use super::period::period;
use super::totals::{Collector, Totals, TotalsRow};
use crate::database;

/// How many rows are read at once.
const PAGE: u32 = 10_000;

/// A database to read totals from.
pub(super) struct StoredTotals {
    store: Store,
    zone: ReportingZone,
}

impl StoredTotals {
    /// The database that `args` name.
    pub(super) async fn connect(args: &StatsArgs) -> Result<Self, Failure> {
        let store = database::open(&args.database).await?;
        let zone = database::zone(&store).await?;
        Ok(Self { store, zone })
    }

    /// The totals that `args` ask for.
    pub(super) async fn read(&self, args: &StatsArgs) -> Result<Totals, Failure> {
        let now = self.store.clock().await.map_err(database::failure)?;
        let granularity = args.granularity.into();
        let (from, to) = (args.from.as_deref(), args.to.as_deref());
        let (from, to) = period(from, to, self.zone, granularity, now)?;
        let span = StatsSpan {
            granularity,
            from,
            to,
            final_after: args.final_after,
        };
        let collector = match args.ad {
            Some(ad) => {
                let mut collector = Collector::of_ads(usize::MAX);
                let rows = self.store.ad_stats(self.zone, ad, span).await;
                for row in rows.map_err(database::failure)? {
                    collector.take(TotalsRow::stored(self.zone, &row));
                }
                collector
            }
            None if args.by_ad => {
                let collector = Collector::of_ads(args.limit as usize);
                let collected = collect(&self.store, self.zone, span, collector).await;
                collected.map_err(database::failure)?
            }
            None => {
                let totals = totals_of_all(&self.store, self.zone, span).await;
                return totals.map_err(database::failure);
            }
        };
        Ok(collector.finish(self.zone.name().to_owned(), granularity))
    }
}

/// The totals of all ads together in each bucket of `span` that had events.
///
/// # Errors
/// The store's.
pub(crate) async fn totals_of_all(
    store: &Store,
    zone: ReportingZone,
    span: StatsSpan,
) -> Result<Totals, StoreError> {
    let collector = collect(store, zone, span, Collector::of_all()).await?;
    Ok(collector.finish(zone.name().to_owned(), span.granularity))
}

async fn collect(
    store: &Store,
    zone: ReportingZone,
    span: StatsSpan,
    mut collector: Collector,
) -> Result<Collector, StoreError> {
    let mut after = None;
    loop {
        let page = store.all_stats(zone, span, after, PAGE).await?;
        let mut wanted = true;
        for row in &page.rows {
            wanted = wanted && collector.take(TotalsRow::stored(zone, row));
        }
        after = page.next;
        if !wanted || after.is_none() {
            return Ok(collector);
        }
    }
}
