//! Storing a batch, and acknowledging what is stored.

use std::sync::Arc;

use adtally_broker::{Backoff, Delivery, Publisher, ack_all};
use adtally_domain::{Event, ReportingZone};
use adtally_service::Shutdown;
use adtally_store::{EventBatch, Store};
use tokio::time::Instant;

use crate::metrics::Metrics;
use crate::refused_batch::RefusedBatch;
use crate::stop_reason::{StopReason, Unacked};

/// How often a batch is tried before the worker lets go of its messages and waits for the database.
pub(super) const QUICK_TRIES: u32 = 3;

/// Where events go: the database, or a round through the broker.
#[derive(Clone)]
pub(crate) struct EventSink {
    pub(crate) store: Store,
    pub(crate) publisher: Publisher,
    pub(crate) zone: ReportingZone,
    pub(crate) metrics: Metrics,
    /// The wish to stop.
    pub(crate) stop: Shutdown,
}

impl EventSink {
    /// Stores a batch. Returns the events that are to be put off and that the broker does not take yet.
    pub(super) async fn store(&self, batch: &Arc<EventBatch>) -> Result<Vec<Event>, StopReason> {
        let mut backoff = Backoff::default();
        let mut tries_left = QUICK_TRIES;
        loop {
            match self.store.store_events(self.zone, batch.clone()).await {
                Ok(stored) => {
                    self.metrics.count(&stored);
                    let is_sent = self.put_off(&stored.put_off).await;
                    return Ok(if is_sent { Vec::new() } else { stored.put_off });
                }
                Err(error) => {
                    tries_left -= 1;
                    if tries_left == 0 || self.stop.is_requested() {
                        let refused = RefusedBatch::new(batch.clone());
                        return Err(StopReason::Database(error, Some(refused)));
                    }
                    log::warn!("a batch is not stored yet: {error}; trying again");
                }
            }
            self.stop.requested_within(backoff.next_delay()).await;
        }
    }

    /// Sends events on a round through the broker, in which they wait for the partition of their day
    /// while others are stored. Whether the broker has all of them.
    pub(super) async fn put_off(&self, events: &[Event]) -> bool {
        if events.is_empty() {
            return true;
        }
        match self.publisher.publish_pack_later(events).await {
            Ok(()) => {
                let count = events.len();
                self.metrics.put_off.inc_by(count as u64);
                log::warn!(
                    "{count} events wait: somebody holds a lock on the partition of their day"
                );
                true
            }
            Err(error) => {
                log::debug!("events are not put off yet: {error}");
                false
            }
        }
    }

    /// Acknowledges messages whose batch began at `begin` and is safe. Others come again and are known.
    pub(super) async fn acknowledge(
        &self,
        deliveries: Vec<Delivery>,
        begin: Instant,
    ) -> Result<(), Unacked> {
        ack_all(deliveries).await?;
        let took = begin.elapsed().as_secs_f64();
        self.metrics.store_seconds.observe(took);
        Ok(())
    }
}
