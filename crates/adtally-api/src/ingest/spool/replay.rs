//! Brings what is on disk to the broker.

use std::time::Duration;

use adtally_broker::Backoff;
use adtally_domain::Event;
use adtally_service::Outage;

use super::broker::Broker;
use super::ledger::Ledger;
use super::reader::{Batch, Reader};

/// The most events published at once.
const MAX_BATCH: usize = 2_000;

/// The least pause between two failures of one batch.
const MIN_PAUSE: Duration = Duration::from_millis(50);

/// Replays, oldest first, until it is dropped, which loses nothing at any point.
pub(super) async fn run(mut reader: Reader, ledger: &Ledger, broker: impl Broker) {
    let (mut outage, mut pauses) = (Outage::of(module_path!()), Backoff::default());
    loop {
        broker.opened().await;
        let Some((mut next, batch)) = blocking(move || {
            let batch = reader.next();
            (reader, batch)
        })
        .await
        else {
            return;
        };
        let batch = match batch {
            Ok(Some(batch)) => batch,
            Ok(None) => {
                outage.over("spool: everything could be read");
                pauses.reset();
                reader = next;
                ledger.wait_for_data().await;
                continue;
            }
            Err(error) => {
                outage.tell(format!(
                    "spool: not all of it can be read: {error}; trying again"
                ));
                reader = next;
                tokio::time::sleep(pauses.next_delay()).await;
                continue;
            }
        };
        deliver(&batch, &broker).await;
        let Some(confirmed) = blocking(move || {
            next.confirm(&batch);
            next
        })
        .await
        else {
            return;
        };
        reader = confirmed;
    }
}

/// Returns once every event of `batch` is confirmed.
async fn deliver(batch: &Batch, broker: &impl Broker) {
    let mut left: Vec<Event> = batch.events.clone();
    let (mut size, mut backoff) = (MAX_BATCH, Backoff::default());
    while !left.is_empty() {
        broker.opened().await;
        let later = left.split_off(size.min(left.len()));
        let results = broker.publish(&left).await;
        let mut results = results.into_iter();
        let before = left.len();
        left.retain(|_| !matches!(results.next(), Some(Ok(()))));
        if left.is_empty() {
            size = (size * 2).min(MAX_BATCH);
        } else {
            // A slow connection may confirm fewer in time.
            size = (left.len() / 2).max(1);
            if left.len() < before {
                backoff.reset();
            }
            tokio::time::sleep(MIN_PAUSE + backoff.next_delay()).await;
        }
        left.extend(later);
    }
}

/// Runs work that waits for the disk on a blocking thread; `None` when it failed for good.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Some(done),
        Err(error) => {
            log::error!("spool: replaying stopped, restart this process: {error}");
            None
        }
    }
}
