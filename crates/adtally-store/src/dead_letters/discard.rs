//! Giving dead letters up.

use diesel::pg::PgConnection;
use diesel::prelude::*;
use uuid::Uuid;

use super::DeadLetterState;
use crate::schema::dead_letters::dsl;
use crate::{Store, StoreError};

/// What became of a dead letter that was to be discarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discarded {
    /// It is.
    Now,
    /// It was before.
    Already,
    /// It was requeued: what is stored or on its way cannot be given up.
    Requeued,
    /// There is none.
    Missing,
}

impl Store {
    /// Gives the dead letters `ids` up and says of each, in their order, what became of it. Doing
    /// it again changes nothing.
    ///
    /// # Errors
    /// The transient ones: nothing was changed, or (when the connection was lost) perhaps all.
    pub async fn discard_dead_letters(
        &self,
        ids: Vec<Uuid>,
    ) -> Result<Vec<(Uuid, Discarded)>, StoreError> {
        self.run(move |conn| Ok(conn.transaction(|conn| discard(conn, ids))?))
            .await
    }
}

fn discard(conn: &mut PgConnection, ids: Vec<Uuid>) -> QueryResult<Vec<(Uuid, Discarded)>> {
    let found: Vec<(Uuid, String)> = dsl::dead_letters
        .filter(dsl::id.eq_any(&ids))
        .order(dsl::id)
        .select((dsl::id, dsl::state))
        .for_update()
        .load(conn)?;
    let outcome = |id: &Uuid| match found.iter().find(|(found, _)| found == id) {
        None => Discarded::Missing,
        Some((_, state)) => match DeadLetterState::stored(state) {
            DeadLetterState::New => Discarded::Now,
            DeadLetterState::Discarded => Discarded::Already,
            DeadLetterState::Requeued => Discarded::Requeued,
        },
    };
    let outcomes: Vec<_> = ids.into_iter().map(|id| (id, outcome(&id))).collect();
    let now = outcomes
        .iter()
        .filter(|(_, outcome)| *outcome == Discarded::Now);
    let now: Vec<Uuid> = now.map(|(id, _)| *id).collect();
    diesel::update(dsl::dead_letters.filter(dsl::id.eq_any(now)))
        .set(dsl::state.eq(DeadLetterState::Discarded.as_str()))
        .execute(conn)?;
    Ok(outcomes)
}
