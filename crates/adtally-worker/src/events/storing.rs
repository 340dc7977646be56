//! Batches that are being stored: one at a time, or several, so that one is filled while another is
//! committed.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet};

use super::Unsettled;
use crate::session::End;

type Outcome = Result<(), Unsettled>;

/// The place of a batch among those that are stored at the same time. Dropped once it is committed and
/// others have had their turn: the next one need not wait until the broker has its acknowledgement. The
/// place of one that failed is forgotten: none may begin before its failure is known.
pub(super) type Place = OwnedSemaphorePermit;

/// The batches of one queue on their way into the database, each over a connection of its own.
pub(super) struct Storing {
    places: Arc<Semaphore>,
    running: JoinSet<Outcome>,
}

impl Storing {
    /// At most so many at the same time, at least one.
    pub(super) fn new(at_once: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(at_once.max(1))),
            running: JoinSet::new(),
        }
    }

    /// A place for another batch, if there is one.
    ///
    /// # Errors
    /// A batch that has failed.
    pub(super) fn place(&mut self) -> Result<Option<Place>, Unsettled> {
        while let Some(joined) = self.running.try_join_next() {
            outcome(joined)?;
        }
        Ok(Arc::clone(&self.places).try_acquire_owned().ok())
    }

    /// Starts to store a batch, which has its [place](Self::place).
    pub(super) fn start(&mut self, batch: impl Future<Output = Outcome> + Send + 'static) {
        self.running.spawn(batch);
    }

    /// Waits until one of the batches is done or, if the caller `waits_for_place`, until there is one; for
    /// ever when neither can be. May be dropped.
    ///
    /// # Errors
    /// It failed.
    pub(super) async fn next(&mut self, waits_for_place: bool) -> Outcome {
        tokio::select! {
            biased;
            Some(joined) = self.running.join_next() => outcome(joined),
            Ok(_) = self.places.acquire(), if waits_for_place => Ok(()),
            else => std::future::pending().await,
        }
    }

    /// Waits until nothing is being stored.
    ///
    /// # Errors
    /// The batch that failed meanwhile.
    pub(super) async fn all(&mut self) -> Outcome {
        while let Some(joined) = self.running.join_next().await {
            outcome(joined)?;
        }
        Ok(())
    }

    /// Waits for what is being stored. Messages that fail join `unsettled`; of several ends the one
    /// that counts.
    pub(super) async fn finish(
        mut self,
        mut end: End,
        unsettled: &mut Vec<adtally_broker::Delivery>,
    ) -> End {
        while let Some(joined) = self.running.join_next().await {
            if let Err((later, more)) = outcome(joined) {
                end = end.or(later);
                unsettled.extend(more);
            }
        }
        end
    }
}

/// A panic goes on in whoever waits for the batch.
fn outcome(joined: Result<Outcome, JoinError>) -> Outcome {
    match joined {
        Ok(outcome) => outcome,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err((End::Stopped, Vec::new())),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use adtally_store::{EventBatch, StoreError};
    use tokio::sync::oneshot;

    use super::super::Stalled;
    use super::*;

    fn place(storing: &mut Storing) -> Option<Place> {
        storing.place().ok().unwrap()
    }

    #[tokio::test]
    async fn a_batch_that_is_done_makes_room_for_another() {
        let mut storing = Storing::new(2);
        let (release, released) = oneshot::channel::<()>();
        let (first, second) = (place(&mut storing).unwrap(), place(&mut storing).unwrap());
        assert!(place(&mut storing).is_none());
        storing.start(async move {
            let _place = first;
            released.await.unwrap();
            Ok(())
        });
        storing.start(async move {
            let _place = second;
            std::future::pending().await
        });
        release.send(()).unwrap();
        assert!(storing.next(false).await.is_ok());
        assert!(place(&mut storing).is_some());
    }

    #[tokio::test]
    async fn a_batch_that_is_committed_makes_room_before_it_is_acknowledged() {
        let mut storing = Storing::new(1);
        let (commit, committed) = oneshot::channel::<()>();
        let (acknowledge, acknowledged) = oneshot::channel::<()>();
        let only = place(&mut storing).unwrap();
        storing.start(async move {
            committed.await.unwrap();
            drop(only);
            acknowledged.await.unwrap();
            Err((End::Stopped, Vec::new()))
        });
        commit.send(()).unwrap();
        assert!(storing.next(true).await.is_ok());
        // At once, too, when it came free before anybody waited for it.
        assert!(storing.next(true).await.is_ok());
        assert!(place(&mut storing).is_some());
        acknowledge.send(()).unwrap();
        assert!(storing.next(false).await.is_err());
    }

    #[tokio::test]
    async fn after_a_failure_there_is_no_place() {
        let mut storing = Storing::new(1);
        let only = place(&mut storing).unwrap();
        storing.start(async move {
            only.forget();
            Err((End::Stopped, Vec::new()))
        });
        while let Ok(place) = storing.place() {
            assert!(place.is_none());
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn of_several_that_fail_the_refused_one_is_told_of() {
        let mut storing = Storing::new(3);
        let lost = || End::Broker("lost".to_owned());
        storing.start(async move { Err((lost(), Vec::new())) });
        storing.start(async {
            let error = StoreError::Unavailable("away".to_owned());
            let stalled = Stalled::new(Arc::new(EventBatch::default()));
            Err((End::Database(error, Some(stalled)), Vec::new()))
        });
        storing.start(async { Ok(()) });
        let end = storing.finish(lost(), &mut Vec::new()).await;
        assert!(matches!(end, End::Database(_, Some(_))));
    }
}
