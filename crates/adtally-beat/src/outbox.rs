//! From the schedule to the queue, by way of `schedule_runs`.

use std::time::Duration;

use adtally_broker::{NotKept, Publisher};
use adtally_domain::{CatchUp, ENTRIES, Entry, ReportingZone, Slot, Timestamp};
use adtally_store::{Store, StoreError, UnsentSlot};
use thiserror::Error;

/// The most slots of one entry that are inserted at a time: a year of hours takes nine rounds.
const MAX_SLOTS: usize = 1_000;
/// A slot that another beat inserted is left to that beat for this long, then sent by any beat.
const TAKE_OVER_AFTER: Duration = Duration::from_secs(5);

/// Why a look at the schedule did not come to its end. What was not done is done by the next.
#[derive(Debug, Error)]
pub(crate) enum SendError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the task queue does not take a task: {0}")]
    Broker(#[from] NotKept),
}

/// The rows of `schedule_runs`: which slots there were, and which are still to be sent.
pub(crate) struct Outbox {
    store: Store,
    publisher: Publisher,
    delay: Duration,
}

impl Outbox {
    pub(crate) fn new(store: Store, publisher: Publisher, delay: Duration) -> Self {
        Self {
            store,
            publisher,
            delay,
        }
    }

    pub(crate) async fn claim_zone(
        &self,
        asked: Option<ReportingZone>,
    ) -> Result<ReportingZone, StoreError> {
        self.store.claim_zone(asked).await
    }

    /// PostgreSQL's time, by which everything is due.
    pub(crate) async fn clock(&self) -> Result<Timestamp, StoreError> {
        self.store.clock().await
    }

    /// Inserts every slot that is due at `now`. Returns those that this beat was the first to insert,
    /// oldest first.
    pub(crate) async fn insert_due(
        &self,
        zone: &ReportingZone,
        now: Timestamp,
        unsent: &[UnsentSlot],
    ) -> Result<Vec<Slot>, StoreError> {
        let mut ours = Vec::new();
        for entry in ENTRIES {
            if is_covered(&entry, unsent) {
                continue;
            }
            let after = match self
                .store
                .last_slot(entry.name, search_until(&entry, now))
                .await?
            {
                Some(last) => last,
                None => self.store.schedule_from().await?,
            };
            let due = entry.slots_due(zone, after, now, self.delay, MAX_SLOTS);
            if due.is_empty() {
                continue;
            }
            let count = due.len();
            let new = self.store.insert_slots(due.clone()).await?;
            // Where another beat inserted some of them, both leave them to the take-over.
            if usize::try_from(new).is_ok_and(|new| new == count) {
                ours.extend(due);
            }
        }
        ours.sort_by_key(|slot| slot.at);
        Ok(ours)
    }

    /// The slots that some beat inserted a while ago and did not send, oldest first.
    pub(crate) async fn unsent(&self) -> Result<Vec<UnsentSlot>, StoreError> {
        self.store.unsent_slots(TAKE_OVER_AFTER).await
    }

    /// Sends the task of a slot, then marks the slot as sent.
    ///
    /// A crash between the confirm and the mark makes another beat send the task again, under the
    /// same id, which the worker knows.
    pub(crate) async fn send(&self, zone: &ReportingZone, slot: &Slot) -> Result<(), SendError> {
        let task = slot.task(zone);
        self.publisher.publish_task(&task).await?;
        log::info!(
            "{} {}: {} is on the queue as {}",
            slot.entry.name,
            slot.at,
            task.name,
            task.id
        );
        self.store
            .mark_enqueued(slot.entry.name.to_owned(), slot.at)
            .await?;
        Ok(())
    }
}

/// Until when to search for an entry's last slot. A clock that was ahead may have left one of the future,
/// which must not end the work of entries that catch up with the latest only. Of all others each slot is
/// there once, whenever that was.
fn search_until(entry: &Entry, now: Timestamp) -> Timestamp {
    match entry.catch_up {
        CatchUp::All => Timestamp::MAX,
        CatchUp::Latest => now,
    }
}

/// Whether a slot that is still to be sent does the work of those due since: a broker that was away for a day
/// must not get a day of sweeps.
fn is_covered(entry: &Entry, unsent: &[UnsentSlot]) -> bool {
    entry.catch_up == CatchUp::Latest && unsent.iter().any(|slot| slot.entry == entry.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_of_a_clock_that_was_ahead_counts_only_where_every_slot_is_made_up_for() {
        let now = Timestamp::EPOCH;
        let bounded = ENTRIES
            .into_iter()
            .filter(|entry| search_until(entry, now) == now);
        let names: Vec<_> = bounded.map(|entry| entry.name).collect();
        assert_eq!(names, ["sweep-dirty", "maintain-partitions"]);
    }

    #[test]
    fn only_entries_that_are_not_made_up_for_wait_for_their_unsent_slot() {
        let unsent = ["sweep-dirty", "aggregate-last-hour"].map(|name| {
            let (entry, at) = (Entry::named(name).unwrap(), Timestamp::EPOCH);
            UnsentSlot {
                entry: name.to_owned(),
                slot: at,
                task_id: Slot { entry, at }.task_id(),
            }
        });
        let covered = ENTRIES
            .into_iter()
            .filter(|entry| is_covered(entry, &unsent));
        let names: Vec<_> = covered.map(|entry| entry.name).collect();
        assert_eq!(names, ["sweep-dirty"]);
        assert!(!ENTRIES.iter().any(|entry| is_covered(entry, &[])));
    }
}
