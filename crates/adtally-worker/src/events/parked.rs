//! Messages in hand that nothing else waits for, until the broker takes them again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use adtally_broker::{Delivery, Publisher};
use adtally_service::Shutdown;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::poison::{Action, PoisonPolicy, Stage};
use super::unsupported::{QUIET, UnsupportedPack, UnsupportedPacks};

/// How long a pack is parked before other workers get a chance at it. Also the wait before a message that
/// the broker did not take is published once more.
const HOLD: Duration = Duration::from_secs(30);

/// The parked messages of one consumer, each in a task of its own. The prefetch bounds how many there are.
#[derive(Clone)]
pub(super) struct Parked {
    publisher: Publisher,
    unsupported: UnsupportedPacks,
    policy: PoisonPolicy,
    release: Shutdown,
    messages: Arc<Mutex<JoinSet<Vec<Delivery>>>>,
}

impl Parked {
    pub(super) fn new(
        publisher: Publisher,
        unsupported: UnsupportedPacks,
        policy: PoisonPolicy,
    ) -> Self {
        Self {
            publisher,
            unsupported,
            policy,
            release: Shutdown::manual(),
            messages: Arc::default(),
        }
    }

    /// Holds a pack that this worker cannot read for a while, then publishes it again, behind whatever
    /// else waits.
    pub(super) fn park(&self, UnsupportedPack { delivery, version }: UnsupportedPack) {
        self.unsupported.saw(version, Instant::now());
        let returns = delivery.delivery_count;
        let action = self.policy.decide(Stage::Unsupported, returns);
        let (publisher, unsupported) = (self.publisher.clone(), self.unsupported.clone());
        self.hold(|release| async move {
            if action == Action::Park && release.requested_within(HOLD).await {
                return vec![*delivery];
            }
            let kept = republish(*delivery, publisher, &release).await;
            if kept.is_empty() && !release.requested_within(QUIET).await {
                unsupported.review(Instant::now());
            }
            kept
        });
    }

    /// Publishes a message again as if it had never come back, as soon as the broker takes it.
    pub(super) fn republish(&self, delivery: Delivery) {
        let publisher = self.publisher.clone();
        self.hold(|release| async move { republish(delivery, publisher, &release).await });
    }

    /// Does `work` until it is done or released. It returns the messages that are still in hand.
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

    /// Ends all of it, and returns the messages that are still in hand.
    pub(super) async fn release(&self) -> Vec<Delivery> {
        self.release.trigger();
        let mut parked = std::mem::take(&mut *self.messages());
        let mut messages = Vec::new();
        while let Some(kept) = parked.join_next().await {
            messages.extend(kept.into_iter().flatten());
        }
        messages
    }
}

/// Publishes a message again. Returns it when it is released before the broker takes it.
async fn republish(delivery: Delivery, publisher: Publisher, release: &Shutdown) -> Vec<Delivery> {
    while let Err(error) = publisher.publish_again(&delivery).await {
        log::debug!("a message stays in hand: {error}");
        if release.requested_within(HOLD).await {
            return vec![delivery];
        }
    }
    // Should the session be over, the message is queued twice, and its ids count once all the same.
    if let Err(error) = delivery.ack().await {
        log::debug!("a message that was sent again comes twice: {error}");
    }
    Vec::new()
}
