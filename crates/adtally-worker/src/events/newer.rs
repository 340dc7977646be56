//! Packs that a newer build wrote. They stay queued for a worker that can read them.
//!
//! Returning one would only bring it back, counted as failed, and after some fifty times the
//! broker would put it aside. So it is kept in hand for a while and then sent again as a new
//! message, behind whatever else waits; meanwhile the worker does everything else.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use adtally_broker::{Delivery, Publisher};
use adtally_service::{Check, Shutdown};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How long a pack is kept before other workers get a chance at it.
const HOLD: Duration = Duration::from_secs(30);
/// A worker that has met no such pack for so long is ready again: another one took them.
const QUIET: Duration = Duration::from_secs(60);
/// A pack that came back so often is sent again at once, long before the broker loses patience.
const RENEW_FROM: u64 = 10;

/// A pack of a version that this worker cannot read.
#[derive(Debug)]
pub(super) struct NewerPack {
    pub(super) delivery: Box<Delivery>,
    version: u64,
}

impl NewerPack {
    pub(super) fn new(delivery: Delivery, version: u64) -> Self {
        let delivery = Box::new(delivery);
        Self { delivery, version }
    }
}

/// What all consumers of a session know of such packs.
#[derive(Clone)]
pub(crate) struct Notice {
    check: Check,
    last_seen: Arc<Mutex<Option<Instant>>>,
}

impl Notice {
    /// Nothing of the kind was met yet.
    pub(crate) fn new(check: Check) -> Self {
        check.ready();
        Self {
            check,
            last_seen: Arc::default(),
        }
    }

    fn saw(&self, version: u64, now: Instant) {
        let reason = format!("a pack of version {version} waits: upgrade this worker");
        let mut last_seen = self.last_seen();
        if last_seen.replace(now).is_none() {
            log::error!("{reason}");
        }
        self.check.not_ready(reason);
    }

    fn review(&self, now: Instant) {
        let mut last_seen = self.last_seen();
        if last_seen.is_some_and(|seen| now.duration_since(seen) >= QUIET) {
            *last_seen = None;
            self.check.ready();
        }
    }

    fn last_seen(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.last_seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The packs in one consumer's hands.
pub(super) struct Held {
    publisher: Publisher,
    notice: Notice,
    release: Shutdown,
    packs: JoinSet<Option<Delivery>>,
}

impl Held {
    pub(super) fn new(publisher: Publisher, notice: Notice) -> Self {
        Self {
            publisher,
            notice,
            release: Shutdown::manual(),
            packs: JoinSet::new(),
        }
    }

    /// Keeps a pack for a while. The prefetch bounds how many there can be.
    pub(super) fn keep(&mut self, NewerPack { delivery, version }: NewerPack) {
        while self.packs.try_join_next().is_some() {}
        self.notice.saw(version, Instant::now());
        let (publisher, notice) = (self.publisher.clone(), self.notice.clone());
        let release = self.release.clone();
        self.packs
            .spawn(keep(*delivery, publisher, notice, release));
    }

    /// The packs that are still in hand.
    pub(super) async fn release(mut self) -> Vec<Delivery> {
        self.release.trigger();
        let mut packs = Vec::new();
        while let Some(pack) = self.packs.join_next().await {
            packs.extend(pack.ok().flatten());
        }
        packs
    }
}

/// Sends the pack again after a while; the pack itself when it is released before.
async fn keep(
    delivery: Delivery,
    publisher: Publisher,
    notice: Notice,
    release: Shutdown,
) -> Option<Delivery> {
    if delivery.delivery_count < RENEW_FROM && release.requested_within(HOLD).await {
        return Some(delivery);
    }
    while let Err(error) = publisher.publish_again(&delivery).await {
        log::debug!("a newer pack stays in hand: {error}");
        if release.requested_within(HOLD).await {
            return Some(delivery);
        }
    }
    // Should the session be over, the pack is queued twice, and its ids count once all the same.
    if delivery.ack().await.is_ok() && !release.requested_within(QUIET).await {
        notice.review(Instant::now());
    }
    None
}

#[cfg(test)]
mod tests {
    use adtally_service::Health;

    use super::*;

    #[test]
    fn a_worker_is_ready_again_once_newer_packs_stay_away() {
        let health = Health::new();
        let notice = Notice::new(health.check("packs"));
        assert!(health.readiness().ready);
        let start = Instant::now();
        notice.saw(2, start);
        assert!(!health.readiness().ready);
        // It came back after a hold, while the first one waited for its review.
        notice.saw(2, start + HOLD);
        notice.review(start + QUIET);
        assert!(!health.readiness().ready);
        notice.review(start + HOLD + QUIET);
        assert!(health.readiness().ready);
    }
}
