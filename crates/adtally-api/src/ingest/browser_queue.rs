//! Browser events in flight.
//!
//! A task of its own sends each event to the sink, so neither a slow broker nor a browser that disconnects
//! loses it. The task starts on the thread of its request, because the two wake each other all the time.

use std::sync::Arc;
use std::time::Duration;

use adtally_domain::{Event, RejectCode};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::http::migrating_task::MigratingTask;
use crate::ingest::metrics::IngestMetrics;
use crate::ingest::sink::{Durability, EventSink};

/// How long a browser waits for its event to be durable.
const MAX_WAIT: Duration = Duration::from_millis(500);

/// The most browser events in flight at once. Each has at most a few kilobytes.
const MAX_IN_FLIGHT: u32 = 10_000;

/// Sends browser events to the sink, beside their requests.
pub(crate) struct BrowserQueue {
    sink: Arc<dyn EventSink>,
    metrics: IngestMetrics,
    runtime: Handle,
    permits: Arc<Semaphore>,
}

impl BrowserQueue {
    /// Sends events to `sink`. Tasks that outlive their HTTP thread go on on `runtime`.
    pub(crate) fn new(sink: Arc<dyn EventSink>, metrics: IngestMetrics, runtime: Handle) -> Self {
        let permits = Arc::new(Semaphore::new(MAX_IN_FLIGHT as usize));
        Self {
            sink,
            metrics,
            runtime,
            permits,
        }
    }

    /// Sends `event` and waits a moment for it to be durable.
    pub(crate) async fn send(&self, event: Event) {
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            self.metrics.rejected(RejectCode::NotKept, 1);
            return;
        };
        let (sink, metrics) = (Arc::clone(&self.sink), self.metrics.clone());
        let sending = async move {
            let kind = event.kind;
            if sink.send(vec![event]).await == [Durability::Durable] {
                metrics.accepted(kind, 1);
            } else {
                metrics.rejected(RejectCode::NotKept, 1);
            }
            drop(permit);
        };
        let in_flight = actix_web::rt::spawn(MigratingTask::new(sending, self.runtime.clone()));
        let _in_time = tokio::time::timeout(MAX_WAIT, in_flight).await;
    }

    /// Waits until no event is in flight, at most for `limit`. No more may be sent.
    pub(crate) async fn drain(&self, limit: Duration) {
        let all = self.permits.acquire_many(MAX_IN_FLIGHT);
        if tokio::time::timeout(limit, all).await.is_err() {
            let left = MAX_IN_FLIGHT as usize - self.permits.available_permits();
            log::warn!("{left} browser events were not confirmed before the end");
        }
    }
}
