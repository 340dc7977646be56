//! What must be true before a worker may take its first message.

use adtally_domain::ReportingZone;
use adtally_service::{Check, Failure};
use adtally_store::StoreError;

use crate::events::Stalled;
use crate::patience::Patience;
use crate::tasks::make_partitions;
use crate::worker::Worker;

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
        }
        *stalled = None;
    }
    Ok(zone)
}
