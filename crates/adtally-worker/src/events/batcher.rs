//! Which messages become one batch, and when: by size or by age.

use adtally_broker::Delivery;
use tokio::time::Instant;

use super::batch::{Batch, BatchBuilder};
use super::flush_timer::FlushTimer;
use super::pool::BatchPool;
use super::unsupported::UnsupportedPack;
use crate::event_queue::{BatchLimits, QueueRole};

/// The messages of one queue that are stored together next.
///
/// A batch is due at once when it is large enough or the flush timer has ended. Until there is a permit for
/// it, it grows up to its limits.
pub(super) struct Batcher {
    builder: BatchBuilder,
    pool: BatchPool,
    limits: BatchLimits,
    timer: FlushTimer,
    role: QueueRole,
}

impl Batcher {
    pub(super) fn new(limits: BatchLimits, role: QueueRole, pool: BatchPool) -> Self {
        Self {
            builder: BatchBuilder::default(),
            pool,
            limits,
            timer: FlushTimer::new(Instant::now()),
            role,
        }
    }

    /// Adds a message.
    ///
    /// # Errors
    /// A pack of a newer version, unread and not added.
    pub(super) fn add(&mut self, delivery: Delivery) -> Result<(), UnsupportedPack> {
        self.builder.add(delivery)?;
        if self.is_full() {
            // It takes no more: what is sorted while it waits need not be when its turn comes.
            self.builder.sort();
        }
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.builder.deliveries.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        let (messages, bytes) = (self.builder.deliveries.len(), self.builder.bytes);
        self.limits.is_reached(messages, bytes)
    }

    /// Whether there is a batch to store. Little is ever in hand of a dead-letter queue, so its batches may
    /// always be small.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        let (messages, bytes) = (self.builder.deliveries.len(), self.builder.bytes);
        let may_be_small = self.role == QueueRole::DeadLetter || self.timer.is_due(now);
        messages > 0 && (may_be_small || self.limits.is_worthwhile(messages, bytes))
    }

    /// Returns when the batch is due by age; for ever while it is empty.
    pub(super) async fn until_due(&self) {
        if self.is_empty() {
            std::future::pending().await
        }
        self.timer.until_due().await;
    }

    /// The batch to store now.
    pub(super) fn take(&mut self, now: Instant) -> Batch {
        self.timer.flushed(now);
        let is_full = self.is_full();
        Batch {
            is_full,
            ..self.builder.take(&self.pool)
        }
    }

    /// Messages that will not be stored.
    pub(super) fn into_deliveries(self) -> Vec<Delivery> {
        self.builder.deliveries
    }
}
