//! Where events came to rest, for a sender that remembers the ids it was promised.

use adtally_domain::EventId;
use diesel::prelude::*;
use uuid::Uuid;

use crate::dead_letters::DeadLetterState;
use crate::schema::{dead_letters, events};
use crate::{Store, StoreError};

/// Which of the ids asked for were found, and where. An id may be in both lists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FoundEvents {
    /// Those in `events`.
    pub stored: Vec<EventId>,
    /// Those with a dead letter in state new or discarded.
    pub dead_letters: Vec<EventId>,
}

impl Store {
    /// Which of `ids` are stored, and which are dead letters. Give some thousands at a time.
    ///
    /// # Errors
    /// The transient ones.
    pub async fn find_events(&self, ids: Vec<EventId>) -> Result<FoundEvents, StoreError> {
        self.run(move |conn| {
            let ids: Vec<Uuid> = ids.into_iter().map(EventId::as_uuid).collect();
            let stored: Vec<Uuid> = events::table
                .filter(events::event_id.eq_any(&ids))
                .select(events::event_id)
                .load(conn)?;
            let dead: Vec<Option<Uuid>> = dead_letters::table
                .filter(dead_letters::event_id.eq_any(&ids))
                .filter(dead_letters::state.ne(DeadLetterState::Requeued.as_str()))
                .select(dead_letters::event_id)
                .distinct()
                .load(conn)?;
            let id = |uuid: Uuid| EventId::from_uuid(uuid);
            Ok(FoundEvents {
                stored: stored.into_iter().filter_map(id).collect(),
                dead_letters: dead.into_iter().flatten().filter_map(id).collect(),
            })
        })
        .await
    }
}
