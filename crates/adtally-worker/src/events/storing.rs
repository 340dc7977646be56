//! Batches that are being stored: while one is committed, the next is filled.

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

    /// Starts to store a batch. There must be [`Self::room`].
    pub(super) fn start(&mut self, batch: impl Future<Output = Outcome> + Send + 'static) {
        self.running.spawn(batch);
    }

    /// Waits until another batch may be started.
    ///
    /// # Errors
    /// The batch that failed meanwhile.
    pub(super) async fn room(&mut self) -> Outcome {
        self.fewer_than(self.at_once).await
    }

    /// Waits until nothing is being stored.
    ///
    /// # Errors
    /// The batch that failed meanwhile.
    pub(super) async fn all(&mut self) -> Outcome {
        self.fewer_than(1).await
    }

    async fn fewer_than(&mut self, count: usize) -> Outcome {
        // One that has failed already ends the session, also when there is room.
        while let Some(joined) = self.running.try_join_next() {
            outcome(joined)?;
        }
        while self.running.len() >= count {
            let Some(joined) = self.running.join_next().await else {
                break;
            };
            outcome(joined)?;
        }
        Ok(())
    }

    /// The next batch that fails; pending while none does. May be dropped.
    pub(super) async fn failure(&mut self) -> Unsettled {
        loop {
            match self.running.join_next().await.map(outcome) {
                Some(Ok(())) => {}
                Some(Err(failure)) => return failure,
                None => return std::future::pending().await,
            }
        }
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
