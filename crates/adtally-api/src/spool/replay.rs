//! Brings what is on disk to the broker.

use std::time::Duration;

use adtally_broker::{Backoff, BrokerState, NotKept, Publisher};
use adtally_domain::Event;
use adtally_service::Outage;
use futures_util::future::BoxFuture;

use super::Spool;
use super::reader::{Batch, Reader};

/// The most events handed to the broker at once.
const MOST: usize = 2_000;

/// A moment for other work between two failures of one batch.
const BREATH: Duration = Duration::from_millis(50);

/// What the spool needs of the broker. Tests play one.
pub(crate) trait Broker: Clone + Send + Sync + 'static {
    /// Whether events handed over now are likely to be confirmed.
    fn is_open(&self) -> bool;
    /// Waits until it is open.
    fn opened(&self) -> BoxFuture<'_, ()>;
    /// Publishes events and says of each, in order, whether it is confirmed.
    fn publish<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Vec<Result<(), NotKept>>>;
}

impl Broker for Publisher {
    fn is_open(&self) -> bool {
        self.state().borrow().is_open()
    }

    fn opened(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let mut state = self.state();
            let is_open = state.wait_for(BrokerState::is_open).await.is_ok();
            if !is_open {
                // Closed for good: it never opens.
                std::future::pending::<()>().await;
            }
        })
    }

    fn publish<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Vec<Result<(), NotKept>>> {
        Box::pin(self.publish_events(events))
    }
}

/// Replays, oldest first, for as long as it is let. Ending it at any point loses nothing.
pub(super) async fn run(mut reader: Reader, spool: Spool, broker: impl Broker) {
    let (mut outage, mut pauses) = (Outage::of(module_path!()), Backoff::default());
    loop {
        broker.opened().await;
        let Some((mut next, batch)) = aside(move || {
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
                spool.ledger().grown().await;
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
        let Some(confirmed) = aside(move || {
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
    let (mut share, mut backoff) = (MOST, Backoff::default());
    while !left.is_empty() {
        broker.opened().await;
        let later = left.split_off(share.min(left.len()));
        let results = broker.publish(&left).await;
        let mut results = results.into_iter();
        let before = left.len();
        left.retain(|_| !matches!(results.next(), Some(Ok(()))));
        if left.is_empty() {
            share = (share * 2).min(MOST);
        } else {
            // A slow connection may confirm in time what is less.
            share = (left.len() / 2).max(1);
            if left.len() < before {
                backoff.reset();
            }
            tokio::time::sleep(BREATH + backoff.next_delay()).await;
        }
        left.extend(later);
    }
}

/// Runs what waits for the disk beside the async threads; `None` when it failed for good.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Some(done),
        Err(error) => {
            log::error!("spool: replaying stopped, restart this process: {error}");
            None
        }
    }
}
