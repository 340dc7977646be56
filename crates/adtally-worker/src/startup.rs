//! What must be true before a worker may take its first message.

use adtally_domain::ReportingZone;
use adtally_service::{Check, Failure};
use adtally_store::StoreError;

use crate::events::Stalled;
use crate::patience::Patience;
use crate::tasks::make_partitions;
use crate::worker::Worker;

/// Why the batch it refused cannot be stored yet, though the database answers.
const LOCKED: &str = "somebody holds a lock on the partition of events that are to be stored";

/// Waits until the database answers and has our tables as this build needs them, claims the reporting zone, and stores a
/// part of the batch it refused before, if it did.
///
/// # Errors
/// A configuration [`Failure`] for what no waiting mends, such as another zone than the stored one.
pub(crate) async fn database(
    worker: &Worker,
    asked: Option<ReportingZone>,
    stalled: &mut Option<Stalled>,
    check: &Check,
    patience: &mut Patience,
) -> Result<ReportingZone, Failure> {
    loop {
        let error = match try_database(worker, asked, stalled).await {
            Ok(zone) => {
                check.ready();
                return Ok(zone);
            }
            Err(error) if error.is_transient() => error,
            Err(error) => return Err(Failure::configuration(error.to_string())),
        };
        check.not_ready(error.to_string());
        let pause = patience.pause_for(&error);
        tokio::time::sleep(pause).await;
    }
}

async fn try_database(
    worker: &Worker,
    asked: Option<ReportingZone>,
    stalled: &mut Option<Stalled>,
) -> Result<ReportingZone, StoreError> {
    worker.store.check_schema().await?;
    let zone = worker.store.claim_zone(asked).await?;
    // Not first when the hour's task comes. Whoever stores events makes those that it needs.
    if let Err(error) = make_partitions(&worker.store).await {
        log::warn!("no partitions were made for the days to come: {error}");
    }
    if let Some(batch) = stalled {
        if let Some(part) = batch.next_part() {
            let stored = worker.store.store_events(zone, part).await?;
            worker.metrics.count(&stored);
            if !stored.put_off.is_empty() {
                return Err(StoreError::Database(LOCKED.to_owned()));
            }
        }
        *stalled = None;
    }
    Ok(zone)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use adtally_service::metrics::Registry;
    use adtally_store::EventBatch;

    use super::*;
    use crate::events::tests::{Bench, click};
    use crate::metrics::Metrics;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_refused_batch_whose_events_would_be_put_off_is_waited_for() {
        let bench = Bench::new().await;
        let worker = Worker {
            name: "tests".to_owned(),
            store: bench.store.clone(),
            broker: bench.config.clone(),
            publisher: bench.publisher.clone(),
            metrics: Metrics::new(&Registry::new(), bench.config.topology()),
            concurrency: 1,
            store_connections: 1,
        };
        let event = click();
        let lock = bench.lock_on_day_of(&event);
        let batch = EventBatch::new(&[event], Vec::new());
        let mut stalled = Some(Stalled::new(Arc::new(batch)));
        let refused = bench.while_held(&lock, try_database(&worker, None, &mut stalled));
        let error = refused.unwrap_err();
        assert!(error.is_transient(), "{error}");
        assert!(stalled.is_some(), "it is tried again");
        try_database(&worker, None, &mut stalled).await.unwrap();
        assert!(stalled.is_none());
        assert_eq!(bench.sql("SELECT count(*) FROM events"), "1");
    }
}
