//! Batches that are being stored: one at a time, or several, so that one is filled while another is
//! committed.

use std::sync::Arc;

use adtally_broker::Delivery;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet};

use crate::stop_reason::{StopReason, Unacked};

type Outcome = Result<(), Unacked>;

/// The right to store one batch. No batch begins after one that failed, so a permit that is not
/// committed is lost.
#[derive(Debug)]
#[must_use]
pub(super) struct StorePermit(Option<OwnedSemaphorePermit>);

impl StorePermit {
    /// The batch is committed and others had their turn. The next one need not wait until the broker has the
    /// acknowledgement.
    pub(super) fn commit(mut self) {
        drop(self.0.take());
    }

    /// The batch failed. The permit is not given to another one, as dropping it would not either.
    pub(super) fn fail(self) {}
}

impl Drop for StorePermit {
    fn drop(&mut self) {
        if let Some(permit) = self.0.take() {
            permit.forget();
        }
    }
}

/// The batches of one queue on their way into the database, each over a connection of its own.
pub(super) struct StorePipeline {
    permits: Arc<Semaphore>,
    running: JoinSet<Outcome>,
}

impl StorePipeline {
    /// Stores at most so many at the same time, at least one.
    pub(super) fn new(concurrency: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(concurrency.max(1))),
            running: JoinSet::new(),
        }
    }

    /// A permit for another batch, if there is one.
    ///
    /// # Errors
    /// A batch that has failed.
    pub(super) fn permit(&mut self) -> Result<Option<StorePermit>, Unacked> {
        while let Some(joined) = self.running.try_join_next() {
            outcome(joined)?;
        }
        let permit = Arc::clone(&self.permits).try_acquire_owned();
        Ok(permit.ok().map(|permit| StorePermit(Some(permit))))
    }

    /// Starts to store a batch, which has its [permit](Self::permit).
    pub(super) fn start(&mut self, batch: impl Future<Output = Outcome> + Send + 'static) {
        self.running.spawn(batch);
    }

    /// Waits until one of the batches is done or, if the caller `wants_permit`, until there is one; for
    /// ever when neither can be. May be dropped.
    ///
    /// # Errors
    /// It failed.
    pub(super) async fn next(&mut self, wants_permit: bool) -> Outcome {
        tokio::select! {
            biased;
            Some(joined) = self.running.join_next() => outcome(joined),
            Ok(_) = self.permits.acquire(), if wants_permit => Ok(()),
            else => std::future::pending().await,
        }
    }

    /// Waits until nothing is being stored.
    ///
    /// # Errors
    /// The batch that failed meanwhile.
    pub(super) async fn drain(&mut self) -> Outcome {
        while let Some(joined) = self.running.join_next().await {
            outcome(joined)?;
        }
        Ok(())
    }

    /// Waits for what is being stored. Messages that fail join `deliveries`. Returns the reason that counts.
    pub(super) async fn finish(
        mut self,
        mut reason: StopReason,
        deliveries: &mut Vec<Delivery>,
    ) -> StopReason {
        while let Some(joined) = self.running.join_next().await {
            if let Err(unacked) = outcome(joined) {
                reason = reason.or(unacked.reason);
                deliveries.extend(unacked.deliveries);
            }
        }
        reason
    }
}

/// A panic goes on in the consumer that waits for the batch.
fn outcome(joined: Result<Outcome, JoinError>) -> Outcome {
    match joined {
        Ok(outcome) => outcome,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(StopReason::Requested.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use adtally_store::{EventBatch, StoreError};
    use tokio::sync::oneshot;

    use super::*;
    use crate::refused_batch::RefusedBatch;

    fn permit(pipeline: &mut StorePipeline) -> Option<StorePermit> {
        pipeline.permit().unwrap()
    }

    #[tokio::test]
    async fn a_batch_that_is_done_makes_room_for_another() {
        let mut pipeline = StorePipeline::new(2);
        let (release, released) = oneshot::channel::<()>();
        let first = permit(&mut pipeline).unwrap();
        let _second = permit(&mut pipeline).unwrap();
        assert!(permit(&mut pipeline).is_none());
        pipeline.start(async move {
            released.await.unwrap();
            first.commit();
            Ok(())
        });
        pipeline.start(std::future::pending());
        release.send(()).unwrap();
        assert!(pipeline.next(false).await.is_ok());
        assert!(permit(&mut pipeline).is_some());
    }

    #[tokio::test]
    async fn a_batch_that_is_committed_makes_room_before_it_is_acknowledged() {
        let mut pipeline = StorePipeline::new(1);
        let (commit, committed) = oneshot::channel::<()>();
        let (acknowledge, acknowledged) = oneshot::channel::<()>();
        let only = permit(&mut pipeline).unwrap();
        pipeline.start(async move {
            committed.await.unwrap();
            only.commit();
            acknowledged.await.unwrap();
            Err(StopReason::Requested.into())
        });
        commit.send(()).unwrap();
        assert!(pipeline.next(true).await.is_ok());
        // At once, too, when it came free before anybody waited for it.
        assert!(pipeline.next(true).await.is_ok());
        assert!(permit(&mut pipeline).is_some());
        acknowledge.send(()).unwrap();
        assert!(pipeline.next(false).await.is_err());
    }

    #[tokio::test]
    async fn after_a_failure_there_is_no_permit() {
        for is_told in [true, false] {
            let mut pipeline = StorePipeline::new(1);
            let only = permit(&mut pipeline).unwrap();
            pipeline.start(async move {
                if is_told {
                    only.fail();
                } else {
                    drop(only);
                }
                Err(StopReason::Requested.into())
            });
            while let Ok(permit) = pipeline.permit() {
                assert!(permit.is_none());
                tokio::task::yield_now().await;
            }
        }
    }

    #[tokio::test]
    async fn of_several_that_fail_the_refused_one_counts() {
        let mut pipeline = StorePipeline::new(3);
        let lost = || StopReason::Broker("lost".to_owned());
        pipeline.start(async move { Err(lost().into()) });
        pipeline.start(async {
            let error = StoreError::Unavailable("away".to_owned());
            let refused = RefusedBatch::new(Arc::new(EventBatch::default()));
            Err(StopReason::Database(error, Some(refused)).into())
        });
        pipeline.start(async { Ok(()) });
        let reason = pipeline.finish(lost(), &mut Vec::new()).await;
        assert!(matches!(reason, StopReason::Database(_, Some(_))));
    }
}
