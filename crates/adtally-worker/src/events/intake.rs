//! What has come from a queue and is not being stored yet.

use adtally_broker::Delivery;
use tokio::time::Instant;

use super::batch::{Batch, Gathering};
use super::full::Full;
use super::held::Held;
use super::pace::Pace;
use super::spares::Spares;
use super::suspects::{Suspects, is_suspect, is_to_renew};

/// The messages of one queue that are in hand, each where it belongs: with those it is stored with,
/// under suspicion, or kept for a worker that can read it.
pub(super) struct Intake {
    gathering: Gathering,
    pub(super) suspects: Suspects<Delivery>,
    pub(super) held: Held,
    pace: Pace,
    /// Nothing stands behind this queue, and little is ever in hand of it.
    is_last: bool,
    full: Full,
}

impl Intake {
    pub(super) fn new(held: Held, is_last: bool, full: Full) -> Self {
        Self {
            gathering: Gathering::default(),
            suspects: Suspects::new(),
            held,
            pace: Pace::new(Instant::now()),
            is_last,
            full,
        }
    }

    /// Takes a message in.
    pub(super) fn add(&mut self, delivery: Delivery) {
        if is_to_renew(delivery.delivery_count, self.is_last) {
            self.held.renew(delivery);
        } else if is_suspect(&delivery) {
            let returns = delivery.delivery_count;
            self.suspects.hold(delivery, returns, Instant::now());
        } else if let Err(newer) = self.gathering.add(delivery) {
            self.held.keep(newer);
        } else if self.is_full() {
            // It takes no more: what is sorted while it waits need not be when its turn comes.
            self.gathering.sort();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.gathering.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.full
            .is_reached(self.gathering.messages(), self.gathering.bytes())
    }

    /// Whether there is a batch to store: one that is large enough, or a small one when it is time for
    /// it.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        let may_be_small = self.is_last || self.pace.is_due(now);
        !self.gathering.is_empty() && (may_be_small || !self.is_small())
    }

    /// Whether to look at what else has arrived.
    pub(super) fn looks(&self, now: Instant) -> bool {
        !self.is_full() && (!self.waits(now) || self.pace.is_look_due(now))
    }

    /// Begins a rest if a batch waits until it is due: nothing is there for it any more. Whether it does.
    pub(super) fn rests(&mut self, now: Instant) -> bool {
        let waits = self.waits(now);
        if waits && self.pace.is_look_due(now) {
            self.pace.looked(now);
        }
        waits
    }

    /// Returns when the rest is over.
    pub(super) async fn rested(&self) {
        self.pace.look_due().await;
    }

    fn waits(&self, now: Instant) -> bool {
        !self.gathering.is_empty() && !self.is_due(now)
    }

    fn is_small(&self) -> bool {
        self.gathering.is_small() && !self.is_full()
    }

    /// The batch to store now.
    pub(super) fn take(&mut self, spares: &Spares, now: Instant) -> Batch {
        self.pace.began(now);
        Batch {
            is_full: self.is_full(),
            ..self.gathering.take(spares)
        }
    }

    /// All that is in hand, to be returned to the queue.
    pub(super) async fn into_deliveries(self) -> Vec<Delivery> {
        let mut deliveries = self.gathering.into_deliveries();
        deliveries.extend(self.suspects.into_all());
        deliveries.extend(self.held.release().await);
        deliveries
    }
}
