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
