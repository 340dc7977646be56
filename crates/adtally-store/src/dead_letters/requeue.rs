//! Putting dead letters back.
//!
//! One transaction locks the letters, has them sent, and marks those that the broker confirmed. The
//! lock puts everything else that may happen to a letter either before or behind all of this:
//!
//! - Another operator waits, and then finds it requeued.
//! - A worker for which it fails again at once waits too, and then makes it `new` again. The mark
//!   can never come late and hide a failure.
//! - A task that is taken at once waits until it may run again, which the same transaction decides.
//! - A worker that stores its event waits as well, and marks the letter should this transaction fail.
//! - A crash, a lost connection or a broker that confirms nothing leaves the letter as it was. If it
//!   was sent nevertheless, an event counts once by its id, and storing it marks the letter, even if
//!   that was discarded meanwhile; a task is not run. Requeuing the letter once more is harmless.
//!
//! So a letter is never `requeued` unless the broker has the message or the event is stored, no event
//! counts twice, and none is both stored and in a letter that is not `requeued`. A worker may have to
//! wait as long as the sending takes; it must be bounded well below the time that statements wait for a
//! lock.

use std::collections::BTreeMap;

use diesel::connection::SimpleConnection;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::result::Error;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::row::Row;
use super::{DeadLetter, DeadLetterState};
use crate::schema::dead_letters::dsl;
use crate::tasks::{self, RequeuedTask};
use crate::{Store, StoreError};

/// Should this process freeze while it sends, PostgreSQL ends the transaction before others give up
/// waiting for it.
const BOUND: &str = "SET LOCAL idle_in_transaction_session_timeout = '8s'";

/// What became of a dead letter that was to be requeued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requeued<E> {
    /// It was sent.
    Now,
    /// It was sent before and has not failed since.
    Already,
    /// It could not be sent and stays as it was.
    Failed(E),
    /// There is none.
    Missing,
}

impl Store {
    /// Puts the dead letters `ids` back with `send`, and says of each, in their order, what became
    /// of it. `send` answers for each letter it is given, in order, and only with `Ok` when the
    /// broker has it. Those requeued before are left alone, unless they are to be sent `again`.
    ///
    /// `task_of` names the task in a letter. A task that was given up may then run once more; one
    /// that succeeded may only when it is sent `again`.
    ///
    /// # Errors
    /// The transient ones: nothing was changed, or (when the connection was lost) perhaps all.
    /// Some may have been sent; calling this again is harmless.
    pub async fn requeue_dead_letters<E, Sending>(
        &self,
        ids: Vec<Uuid>,
        again: bool,
        task_of: fn(&DeadLetter) -> Option<Uuid>,
        send: impl FnOnce(Vec<DeadLetter>) -> Sending,
    ) -> Result<Vec<(Uuid, Requeued<E>)>, StoreError>
    where
        E: Send + 'static,
        Sending: Future<Output = Vec<Result<(), E>>>,
    {
        let (offer, offered) = oneshot::channel();
        let (answer, answered) = oneshot::channel();
        let sender = |letters| {
            // The caller is gone and nobody answers: nothing is marked.
            let _ = offer.send(letters);
            answered.blocking_recv().ok()
        };
        let marking = self.run(move |conn| {
            let requeue = |conn: &mut PgConnection| requeue(conn, &ids, again, task_of, sender);
            Ok(conn.transaction(requeue)?)
        });
        let sending = async move {
            if let Ok(letters) = offered.await {
                let _ = answer.send(send(letters).await);
            }
        };
        let (outcomes, ()) = tokio::join!(marking, sending);
        outcomes
    }
}

fn requeue<E>(
    conn: &mut PgConnection,
    ids: &[Uuid],
    again: bool,
    task_of: fn(&DeadLetter) -> Option<Uuid>,
    sender: impl FnOnce(Vec<DeadLetter>) -> Option<Vec<Result<(), E>>>,
) -> QueryResult<Vec<(Uuid, Requeued<E>)>> {
    conn.batch_execute(BOUND)?;
    let mut outcomes = BTreeMap::new();
    let mut letters = Vec::new();
    for letter in lock(conn, ids)? {
        if letter.state == DeadLetterState::Requeued && !again {
            outcomes.insert(letter.letter.id, Requeued::Already);
        } else {
            letters.push(letter);
        }
    }
    let sent: Vec<(Uuid, Option<Uuid>)> = letters
        .iter()
        .map(|letter| (letter.letter.id, task_of(letter)))
        .collect();
    let tasks = sent.iter().filter_map(|(_, task)| *task).collect();
    let requeued = tasks::requeue(conn, tasks, again)?;
    let results = match letters.is_empty() {
        true => Vec::new(),
        false => sender(letters).ok_or(Error::RollbackTransaction)?,
    };
    let mut confirmed = Vec::new();
    for ((id, task), result) in sent.into_iter().zip(results) {
        let outcome = match result {
            Ok(()) => {
                confirmed.push(id);
                Requeued::Now
            }
            Err(fault) => {
                undo_requeue(conn, &requeued, task)?;
                Requeued::Failed(fault)
            }
        };
        outcomes.insert(id, outcome);
    }
    mark(conn, &confirmed)?;
    let outcome = |id: &Uuid| (*id, outcomes.remove(id).unwrap_or(Requeued::Missing));
    Ok(ids.iter().map(outcome).collect())
}

/// The letters, locked in the order in which workers lock them.
fn lock(conn: &mut PgConnection, ids: &[Uuid]) -> QueryResult<Vec<DeadLetter>> {
    let rows: Vec<Row> = dsl::dead_letters
        .filter(dsl::id.eq_any(ids))
        .order(dsl::id)
        .select(Row::as_select())
        .for_update()
        .load(conn)?;
    Ok(rows.into_iter().map(DeadLetter::from).collect())
}

fn undo_requeue(
    conn: &mut PgConnection,
    requeued: &[RequeuedTask],
    task: Option<Uuid>,
) -> QueryResult<()> {
    let requeued = requeued.iter().find(|one| Some(one.task_id) == task);
    requeued.map_or(Ok(()), |one| tasks::undo_requeue(conn, one))
}

fn mark(conn: &mut PgConnection, confirmed: &[Uuid]) -> QueryResult<()> {
    diesel::update(dsl::dead_letters.filter(dsl::id.eq_any(confirmed)))
        .set((
            dsl::state.eq(DeadLetterState::Requeued.as_str()),
            dsl::requeued_at.eq(diesel::dsl::now),
        ))
        .execute(conn)
        .map(drop)
}
