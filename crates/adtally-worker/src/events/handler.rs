//! From a batch to its acknowledgement: store, commit, ack, in this order.

use std::time::Duration;

use adtally_broker::{Backoff, Delivery};
use adtally_domain::Event;
use tokio::time::Instant;

use super::batch::Batch;
use super::parked::Parked;
use super::pipeline::StorePermit;
use super::poison::PoisonPolicy;
use super::pool::BatchPool;
use super::sink::EventSink;
use crate::cpu_throttle::CpuThrottle;
use crate::stop_reason::Unacked;

/// Handles the batches of one queue, and the messages that are [isolated](super::isolation).
pub(super) struct BatchHandler {
    pub(super) sink: EventSink,
    pub(super) parked: Parked,
    pub(super) pool: BatchPool,
    pub(super) policy: PoisonPolicy,
    pub(super) yields_cpu: bool,
}

impl BatchHandler {
    /// Stores a batch, commits its permit, and acknowledges it. A throttled batch does both later:
    /// acknowledged messages make the broker send more.
    pub(super) async fn store_and_ack(
        &self,
        batch: Batch,
        permit: StorePermit,
    ) -> Result<(), Unacked> {
        let begin = Instant::now();
        let is_throttled = self.yields_cpu && batch.is_full;
        let throttle = is_throttled.then(|| CpuThrottle::start(begin)).flatten();
        match self.sink.store(&batch.content).await {
            Ok(unsent) => {
                // Return the buffer before the permit: the next batch needs it.
                self.pool.put(batch.content);
                if let Some(throttle) = throttle {
                    self.pause(throttle.pause(Instant::now())).await;
                }
                permit.commit();
                // The connection idles until the next batch begins.
                tokio::task::yield_now().await;
                self.ack_or_park(batch.deliveries, unsent, begin).await
            }
            Err(reason) => {
                permit.fail();
                Err(Unacked::new(reason, batch.deliveries))
            }
        }
    }

    async fn pause(&self, pause: Duration) {
        if !pause.is_zero() {
            let metrics = &self.sink.metrics;
            metrics.rest_seconds.observe(pause.as_secs_f64());
            self.sink.stop.requested_within(pause).await;
        }
    }

    /// Acknowledges messages that are stored. Those with events that are `unsent` are parked until the
    /// broker takes these: meanwhile others are stored.
    pub(super) async fn ack_or_park(
        &self,
        deliveries: Vec<Delivery>,
        unsent: Vec<Event>,
        begin: Instant,
    ) -> Result<(), Unacked> {
        if unsent.is_empty() {
            return self.sink.acknowledge(deliveries, begin).await;
        }
        let sink = self.sink.clone();
        self.parked.hold(|release| async move {
            let mut backoff = Backoff::default();
            while !sink.put_off(&unsent).await {
                if release.requested_within(backoff.next_delay()).await {
                    return deliveries;
                }
            }
            if let Err(unacked) = sink.acknowledge(deliveries, begin).await {
                let reason = unacked.reason;
                log::debug!("messages whose events were put off come twice: {reason:?}");
            }
            Vec::new()
        });
        Ok(())
    }
}
