//! Batches that are being stored: one at a time, or several, so that one is filled while another is
//! committed.

use tokio::task::{JoinError, JoinSet};

use super::Unsettled;
use crate::session::End;

type Outcome = Result<(), Unsettled>;

/// The batches of one queue on their way into the database, each over a connection of its own.
pub(super) struct Storing {
    at_once: usize,
    running: JoinSet<Outcome>,
}

impl Storing {
    /// At most so many at the same time, at least one.
    pub(super) fn new(at_once: usize) -> Self {
        Self {
            at_once: at_once.max(1),
            running: JoinSet::new(),
        }
    }

    /// Whether another batch may be started.
    pub(super) fn has_room(&self) -> bool {
        self.running.len() < self.at_once
    }

    /// Starts to store a batch. There must be [room](Self::has_room).
    pub(super) fn start(&mut self, batch: impl Future<Output = Outcome> + Send + 'static) {
        self.running.spawn(batch);
    }

    /// Waits until one of the batches is done; for ever when there is none. May be dropped.
    ///
    /// # Errors
    /// It failed.
    pub(super) async fn next(&mut self) -> Outcome {
        match self.running.join_next().await {
            Some(joined) => outcome(joined),
            None => std::future::pending().await,
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

    #[tokio::test]
    async fn a_batch_that_is_done_makes_room_for_another() {
        let mut storing = Storing::new(2);
        let (release, released) = oneshot::channel::<()>();
        storing.start(async {
            released.await.unwrap();
            Ok(())
        });
        assert!(storing.has_room());
        storing.start(std::future::pending());
        assert!(!storing.has_room());
        release.send(()).unwrap();
        assert!(storing.next().await.is_ok());
        assert!(storing.has_room());
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
