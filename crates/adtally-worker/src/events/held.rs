//! Messages in hand that nothing else waits for, until the broker takes them again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use adtally_broker::{Delivery, Publisher};
use adtally_service::Shutdown;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::newer::{NewerPack, Notice, QUIET};
use super::suspects::is_suspect;

/// How long a pack is kept before other workers get a chance at it, and a message that the broker did
/// not take before it is sent once more.
const HOLD: Duration = Duration::from_secs(30);
/// A pack for newer workers that came back so often is sent again rather than returned, long before the
/// broker loses patience.
const RENEW_FROM: u64 = 10;

/// Whether a message came back so often that it should be sent again rather than returned. Only one that
/// is handled alone has its body to be sent with, and no other comes back so often.
pub(super) fn is_worn(delivery: &Delivery) -> bool {
    is_suspect(delivery) && !delivery.body.is_empty()
}

/// The messages in one consumer's hands.
#[derive(Clone)]
pub(super) struct Held {
    publisher: Publisher,
    notice: Notice,
    release: Shutdown,
    messages: Arc<Mutex<JoinSet<Vec<Delivery>>>>,
}

impl Held {
    pub(super) fn new(publisher: Publisher, notice: Notice) -> Self {
        Self {
            publisher,
            notice,
            release: Shutdown::manual(),
            messages: Arc::default(),
        }
    }

    /// Keeps a pack for a while. The prefetch bounds how many there can be.
    pub(super) fn keep(&self, NewerPack { delivery, version }: NewerPack) {
        self.notice.saw(version, Instant::now());
        let (publisher, notice) = (self.publisher.clone(), self.notice.clone());
        self.hold(|release| async move {
            let kept = keep(*delivery, publisher, notice, release).await;
            Vec::from_iter(kept)
        });
    }

    /// Sends a message again as if it had never come back, as soon as the broker takes it.
    pub(super) fn renew(&self, delivery: Delivery) {
        let publisher = self.publisher.clone();
        self.hold(|release| async move {
            let kept = renew(delivery, &publisher, &release).await;
            Vec::from_iter(kept)
        });
    }

    /// Does `work` until it is done or released, which returns the messages that are still in hand.
    pub(super) fn hold<Work>(&self, work: impl FnOnce(Shutdown) -> Work)
    where
        Work: Future<Output = Vec<Delivery>> + Send + 'static,
    {
        let mut messages = self.messages();
        while messages.try_join_next().is_some() {}
        messages.spawn(work(self.release.clone()));
    }

    fn messages(&self) -> MutexGuard<'_, JoinSet<Vec<Delivery>>> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The messages that are still in hand.
    pub(super) async fn release(self) -> Vec<Delivery> {
        self.release.trigger();
        let mut held = std::mem::take(&mut *self.messages());
        let mut messages = Vec::new();
        while let Some(kept) = held.join_next().await {
            messages.extend(kept.into_iter().flatten());
        }
        messages
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
    let kept = renew(delivery, &publisher, &release).await;
    if kept.is_none() && !release.requested_within(QUIET).await {
        notice.review(Instant::now());
    }
    kept
}

/// Sends a message again; the message itself when it is released before the broker takes it.
async fn renew(delivery: Delivery, publisher: &Publisher, release: &Shutdown) -> Option<Delivery> {
    while let Err(error) = publisher.publish_again(&delivery).await {
        log::debug!("a message stays in hand: {error}");
        if release.requested_within(HOLD).await {
            return Some(delivery);
        }
    }
    // Should the session be over, the message is queued twice, and its ids count once all the same.
    if let Err(error) = delivery.ack().await {
        log::debug!("a message that was sent again comes twice: {error}");
    }
    None
}
