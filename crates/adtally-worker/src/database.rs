//! When the database may be used, and when it is lost.

use std::time::Duration;

use adtally_domain::ReportingZone;
use adtally_service::{Check, Failure};
use adtally_store::{Store, StoreError};

use crate::metrics::Metrics;
use crate::reconnect_backoff::ReconnectBackoff;
use crate::refused_batch::RefusedBatch;
use crate::tasks::make_partitions;

/// How often the database is pinged. A worker without messages would not notice that it is away.
const PING_EVERY: Duration = Duration::from_secs(5);
/// How long it may take to answer.
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the batch it refused cannot be stored yet, though the database answers.
const LOCKED: &str = "somebody holds a lock on the partition of events that are to be stored";

/// Waits until the database answers and has our tables as this build needs them. Claims the reporting zone.
/// If the database refused a batch before, a part of it is stored first.
///
/// # Errors
/// A configuration [`Failure`] for what no waiting mends, such as another zone than the stored one.
pub(crate) async fn wait_until_usable(
    store: &Store,
    metrics: &Metrics,
    asked: Option<ReportingZone>,
    refused: &mut Option<RefusedBatch>,
    check: &Check,
    backoff: &mut ReconnectBackoff,
) -> Result<ReportingZone, Failure> {
    loop {
        let error = match try_to_use(store, metrics, asked, refused).await {
            Ok(zone) => {
                check.ready();
                return Ok(zone);
            }
            Err(error) if error.is_transient() => error,
            Err(error) => return Err(Failure::configuration(error.to_string())),
        };
        check.not_ready(error.to_string());
        let delay = backoff.next_delay_for(&error);
        tokio::time::sleep(delay).await;
    }
}

async fn try_to_use(
    store: &Store,
    metrics: &Metrics,
    asked: Option<ReportingZone>,
    refused: &mut Option<RefusedBatch>,
) -> Result<ReportingZone, StoreError> {
    store.check_schema().await?;
    let zone = store.claim_zone(asked).await?;
    // Before the hour's task does it. A batch makes the partitions that it needs itself.
    if let Err(error) = make_partitions(store).await {
        log::warn!("no partitions were made for the days to come: {error}");
    }
    if let Some(probe) = refused.as_mut().and_then(RefusedBatch::next_probe) {
        let stored = store.store_events(zone, probe).await?;
        metrics.count(&stored);
        if !stored.put_off.is_empty() {
            return Err(StoreError::Database(LOCKED.to_owned()));
        }
    }
    *refused = None;
    Ok(zone)
}

/// Returns once the database has failed to answer twice in a row.
pub(crate) async fn lost(store: &Store, check: &Check) -> StoreError {
    let mut missed_before = false;
    loop {
        tokio::time::sleep(PING_EVERY).await;
        let error = match tokio::time::timeout(PING_TIMEOUT, store.ping()).await {
            // The database answered over another connection than the one that ended.
            Ok(Ok(()) | Err(StoreError::ConnectionLost(_))) => {
                missed_before = false;
                check.ready();
                continue;
            }
            Ok(Err(error)) => error,
            Err(_) => {
                let seconds = PING_TIMEOUT.as_secs();
                StoreError::Unavailable(format!("no answer within {seconds} s"))
            }
        };
        if missed_before {
            return error;
        }
        check.not_ready(error.to_string());
        missed_before = true;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use adtally_service::metrics::Registry;
    use adtally_store::EventBatch;

    use super::*;
    use crate::testing::{TestServers, click};

    #[tokio::test(flavor = "multi_thread")]
    async fn a_refused_batch_whose_events_would_be_put_off_is_waited_for() {
        let servers = TestServers::new().await;
        let metrics = Metrics::new(&Registry::new(), servers.broker.topology());
        let event = click();
        let lock = servers.lock_on_day_of(&event);
        let batch = EventBatch::new(&[event], Vec::new());
        let mut refused = Some(RefusedBatch::new(Arc::new(batch)));
        let attempt = try_to_use(&servers.store, &metrics, None, &mut refused);
        let error = servers.while_held(&lock, attempt).unwrap_err();
        assert!(error.is_transient(), "{error}");
        assert!(refused.is_some(), "it is tried again");
        let attempt = try_to_use(&servers.store, &metrics, None, &mut refused);
        attempt.await.unwrap();
        assert!(refused.is_none());
        assert_eq!(servers.sql("SELECT count(*) FROM events"), "1");
    }
}
