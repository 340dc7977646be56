//! Requeuing and discarding, some letters at a time.

use std::collections::BTreeSet;

use adtally_broker::{NotKept, Publisher};
use adtally_store::{DeadLetter, Discarded, Requeued, Store, StoreError};
use futures_util::future::join_all;
use thiserror::Error;
use uuid::Uuid;

use super::parcel::{Parcel, task_of};

/// How often letters are tried whose transaction met others.
const ATTEMPTS: u32 = 3;

/// What to do with dead letters.
#[derive(Debug, Clone)]
pub enum DeadLetterAction {
    /// Put them back on their queues.
    Requeue {
        /// The way to the broker. Its deadline must be below 8 seconds.
        publisher: Publisher,
        /// Also those that were requeued before and have not failed since.
        again: bool,
    },
    /// Give them up.
    Discard,
}

/// What became of one dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeadLetterOutcome {
    /// It was done.
    Done,
    /// It had been done before.
    Already,
    /// It could not be done; the letter is as it was.
    Failed(DeadLetterFault),
}

/// Why nothing could be done with a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DeadLetterFault {
    /// There is none with this id.
    #[error("there is no such dead letter")]
    Missing,
    /// Its body is said to be an event and is no JSON.
    #[error("it cannot be requeued: its event is not JSON, so that no pack can hold it")]
    NotJson,
    /// Where it came from is not known to this deployment.
    #[error(
        "it cannot be requeued: it was found in {0:?}, which is no queue that the workers of this \
         prefix read"
    )]
    ForeignQueue(String),
    /// The broker did not take it.
    #[error("it is not requeued: {0}")]
    NotKept(NotKept),
    /// It was requeued, so it is stored or on its way.
    #[error("it was requeued: what is stored or on its way cannot be discarded")]
    Requeued,
}

impl DeadLetterAction {
    /// Does it with the letters `ids`, all in one transaction, and says of each what became of it.
    /// Doing it again is harmless.
    ///
    /// # Errors
    /// The store's: nothing was changed, or (when the connection was lost) perhaps all.
    pub async fn apply(
        &self,
        store: &Store,
        ids: Vec<Uuid>,
    ) -> Result<Vec<(Uuid, DeadLetterOutcome)>, StoreError> {
        let ids: Vec<Uuid> = ids
            .into_iter()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        let mut attempt = 1;
        loop {
            match self.try_to_apply(store, ids.clone()).await {
                Err(StoreError::Contended(_)) if attempt < ATTEMPTS => attempt += 1,
                done => return done,
            }
        }
    }

    async fn try_to_apply(
        &self,
        store: &Store,
        ids: Vec<Uuid>,
    ) -> Result<Vec<(Uuid, DeadLetterOutcome)>, StoreError> {
        Ok(match self {
            Self::Requeue { publisher, again } => {
                let send = |letters| send(publisher, letters);
                let requeued = store.requeue_dead_letters(ids, *again, task_of, send);
                each(requeued.await?)
            }
            Self::Discard => each(store.discard_dead_letters(ids).await?),
        })
    }
}

fn each<T>(outcomes: Vec<(Uuid, T)>) -> Vec<(Uuid, DeadLetterOutcome)>
where
    DeadLetterOutcome: From<T>,
{
    let outcomes = outcomes.into_iter();
    outcomes.map(|(id, outcome)| (id, outcome.into())).collect()
}

async fn send(publisher: &Publisher, letters: Vec<DeadLetter>) -> Vec<Result<(), DeadLetterFault>> {
    let sent = letters.into_iter().map(|letter| async {
        let Parcel {
            route,
            envelope,
            body,
        } = Parcel::of(letter, publisher.topology())?;
        let kept = publisher.publish_kept(&route, &envelope, body).await;
        kept.map_err(DeadLetterFault::NotKept)
    });
    join_all(sent).await
}

impl From<Requeued<DeadLetterFault>> for DeadLetterOutcome {
    fn from(requeued: Requeued<DeadLetterFault>) -> Self {
        match requeued {
            Requeued::Now => Self::Done,
            Requeued::Already => Self::Already,
            Requeued::Failed(fault) => Self::Failed(fault),
            Requeued::Missing => Self::Failed(DeadLetterFault::Missing),
        }
    }
}

impl From<Discarded> for DeadLetterOutcome {
    fn from(discarded: Discarded) -> Self {
        match discarded {
            Discarded::Now => Self::Done,
            Discarded::Already => Self::Already,
            Discarded::Requeued => Self::Failed(DeadLetterFault::Requeued),
            Discarded::Missing => Self::Failed(DeadLetterFault::Missing),
        }
    }
}
