//! Batches that are being stored, and one that waits for its turn: while it does, the next is filled.

use tokio::task::{JoinError, JoinSet};

use super::Unsettled;
use crate::session::End;

type Outcome = Result<(), Unsettled>;

/// The batches of one queue on their way into the database.
pub(super) struct Storing {
    most: usize,
    running: JoinSet<Outcome>,
}

impl Storing {
    /// As many as are stored at the same time, and one more: a connection that has committed a batch
    /// finds the next one ready.
    pub(super) fn new(connections: usize) -> Self {
        Self {
            most: connections.saturating_add(1),
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
        self.fewer_than(self.most).await
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
