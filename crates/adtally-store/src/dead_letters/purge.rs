//! Deleting dead letters for good.

use diesel::prelude::*;
use uuid::Uuid;

use super::DeadLetterFilter;
use super::list::matching;
use crate::schema::dead_letters::dsl;
use crate::{Store, StoreError};

impl Store {
    /// Deletes the oldest dead letters that `filter` means, at most `limit`, with their bodies, and says
    /// how many. One whose state changes meanwhile stays.
    ///
    /// A requeued letter has its event in the table or in a queue. With any other, its event is gone:
    /// nothing finds it any more.
    ///
    /// # Errors
    /// The transient ones.
    pub async fn purge_dead_letters(
        &self,
        filter: DeadLetterFilter,
        limit: u32,
    ) -> Result<u64, StoreError> {
        self.run(move |conn| {
            let ids: Vec<Uuid> = matching(&filter)
                .order((dsl::first_seen, dsl::id))
                .limit(limit.into())
                .select(dsl::id)
                .load(conn)?;
            let letters = dsl::dead_letters.filter(dsl::id.eq_any(ids));
            let rows = match filter.state {
                Some(state) => {
                    diesel::delete(letters.filter(dsl::state.eq(state.as_str()))).execute(conn)?
                }
                None => diesel::delete(letters).execute(conn)?,
            };
            Ok(rows as u64)
        })
        .await
    }
}
