//! Packs that a newer build wrote. They stay queued for a worker that can read them.
//!
//! Returning one would only bring it back, counted as failed, and after some fifty times the
//! broker would put it aside. So it is [parked](super::parked) and then published again as a new message,
//! behind whatever else waits; meanwhile the worker does everything else.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use adtally_broker::Delivery;
use adtally_service::Check;
use tokio::time::Instant;

/// A worker that has got no such pack for so long is ready again: another one took them.
pub(super) const QUIET: Duration = Duration::from_secs(60);

/// A pack of a version that this worker cannot read.
#[derive(Debug)]
pub(super) struct UnsupportedPack {
    pub(super) delivery: Box<Delivery>,
    pub(super) version: u64,
}

impl UnsupportedPack {
    pub(super) fn new(delivery: Delivery, version: u64) -> Self {
        let delivery = Box::new(delivery);
        Self { delivery, version }
    }
}

/// Whether the consumers of a session have got such packs lately, as `/readyz` shows it.
#[derive(Clone)]
pub(crate) struct UnsupportedPacks {
    check: Check,
    last_seen: Arc<Mutex<Option<Instant>>>,
}

impl UnsupportedPacks {
    /// None has come yet.
    pub(crate) fn new(check: Check) -> Self {
        check.ready();
        Self {
            check,
            last_seen: Arc::default(),
        }
    }

    pub(super) fn saw(&self, version: u64, now: Instant) {
        let reason = format!("a pack of version {version} waits: upgrade this worker");
        let mut last_seen = self.last_seen();
        if last_seen.replace(now).is_none() {
            log::error!("{reason}");
        }
        self.check.not_ready(reason);
    }

    pub(super) fn review(&self, now: Instant) {
        let mut last_seen = self.last_seen();
        if last_seen.is_some_and(|seen| now.duration_since(seen) >= QUIET) {
            *last_seen = None;
            self.check.ready();
        }
    }

    fn last_seen(&self) -> MutexGuard<'_, Option<Instant>> {
        self.last_seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use adtally_service::Health;

    use super::*;

    #[test]
    fn a_worker_is_ready_again_once_newer_packs_stay_away() {
        let health = Health::new();
        let unsupported = UnsupportedPacks::new(health.check("packs"));
        assert!(health.readiness().ready);
        let start = Instant::now();
        unsupported.saw(2, start);
        assert!(!health.readiness().ready);
        // It came back after a hold, while the first one waited for its review.
        unsupported.saw(2, start + QUIET / 2);
        unsupported.review(start + QUIET);
        assert!(!health.readiness().ready);
        unsupported.review(start + QUIET / 2 + QUIET);
        assert!(health.readiness().ready);
    }
}
