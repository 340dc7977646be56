//! The same with many letters, batch by batch.

use std::collections::BTreeSet;

use adtally_store::{DeadLetterCursor, DeadLetterFilter, Store, StoreError};
use uuid::Uuid;

use super::{DeadLetterAction, DeadLetterFault, DeadLetterOutcome};

/// Letters of one transaction at most: workers may have to wait for it.
const BATCH: u32 = 100;
/// Bytes of their bodies at most, unless a single one is larger.
const BATCH_BYTES: u64 = 4 * 1_024 * 1_024;

/// Goes once through the dead letters that a filter means, oldest first. A letter that fails again
/// meanwhile is not met a second time.
#[derive(Debug)]
pub struct DeadLetterSweep {
    filter: DeadLetterFilter,
    cursor: Option<DeadLetterCursor>,
    /// Ids that were asked for and have not been met.
    unmet: BTreeSet<Uuid>,
    is_over: bool,
    is_refused: bool,
}

impl DeadLetterSweep {
    /// Goes through what `filter` means, beginning behind `cursor`.
    #[must_use]
    pub fn new(filter: DeadLetterFilter, cursor: Option<DeadLetterCursor>) -> Self {
        // Ids behind a cursor were met by the sweep before.
        let asked = filter.ids.iter().flatten().filter(|_| cursor.is_none());
        Self {
            unmet: asked.copied().collect(),
            filter,
            cursor,
            is_over: false,
            is_refused: false,
        }
    }

    /// Does `action` with the next letters, at most `limit`. Nothing is answered once there are no
    /// more.
    ///
    /// # Errors
    /// The store's. The letters of this batch are met again by the next call.
    pub async fn next(
        &mut self,
        store: &Store,
        action: &DeadLetterAction,
        limit: usize,
    ) -> Result<Vec<(Uuid, DeadLetterOutcome)>, StoreError> {
        if self.is_over {
            return Ok(Vec::new());
        }
        let limit = u32::try_from(limit).unwrap_or(BATCH).min(BATCH);
        let filter = self.filter.clone();
        let batch = store.dead_letter_batch(filter, self.cursor, limit, BATCH_BYTES);
        let batch = batch.await?;
        let mut outcomes = Vec::new();
        if !batch.ids.is_empty() {
            outcomes = action.apply(store, batch.ids).await?;
        }
        for (id, _) in &outcomes {
            self.unmet.remove(id);
        }
        self.is_refused = is_refused(&outcomes);
        self.is_over = batch.next.is_none();
        self.cursor = batch.next;
        if self.is_over {
            let missing = || DeadLetterOutcome::Failed(DeadLetterFault::Missing);
            let unmet = std::mem::take(&mut self.unmet);
            outcomes.extend(unmet.into_iter().map(|id| (id, missing())));
        }
        Ok(outcomes)
    }

    /// Where to go on; `None` when there is nothing left.
    #[must_use]
    pub fn cursor(&self) -> Option<DeadLetterCursor> {
        self.cursor
    }

    /// Whether every letter has been met.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Whether the broker took none of the last letters, so that going on would only take time.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.is_refused
    }

    /// How many letters are still to be met.
    ///
    /// # Errors
    /// The store's.
    pub async fn left(&self, store: &Store) -> Result<u64, StoreError> {
        if self.is_over {
            return Ok(0);
        }
        store
            .dead_letters_left(self.filter.clone(), self.cursor)
            .await
    }
}

fn is_refused(outcomes: &[(Uuid, DeadLetterOutcome)]) -> bool {
    let not_kept = |outcome: &DeadLetterOutcome| {
        matches!(
            outcome,
            DeadLetterOutcome::Failed(DeadLetterFault::NotKept(_))
        )
    };
    let mut outcomes = outcomes.iter().map(|(_, outcome)| outcome);
    outcomes.clone().any(not_kept) && !outcomes.any(|outcome| *outcome == DeadLetterOutcome::Done)
}
