//! Beat's ledger and outbox.

use std::time::Duration;

use adtally_domain::{CatchUp, Slot, Timestamp};
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Text};
use uuid::Uuid;

use crate::schema::schedule_runs::dsl;
use crate::{Store, StoreError, times};

/// A slot that is in the ledger and was not sent yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsentSlot {
    /// The name of its entry.
    pub entry: String,
    /// The boundary instant.
    pub slot: Timestamp,
    /// The id of its task.
    pub task_id: Uuid,
}

impl Store {
    /// Writes slots into the ledger and says how many of them nobody had written before.
    ///
    /// # Errors
    /// The transient ones.
    pub async fn insert_slots(&self, slots: Vec<Slot>) -> Result<u64, StoreError> {
        self.run(move |conn| {
            let rows: Vec<_> = slots
                .iter()
                .map(|slot| {
                    (
                        dsl::entry.eq(slot.entry.name),
                        dsl::slot.eq(slot.at.to_datetime()),
                        dsl::task_id.eq(slot.task_id()),
                    )
                })
                .collect();
            conn.transaction(|conn| {
                let mut inserted = 0;
                for chunk in rows.chunks(1_000) {
                    inserted += diesel::insert_into(dsl::schedule_runs)
                        .values(chunk)
                        .on_conflict_do_nothing()
                        .execute(conn)?;
                }
                Ok(u64::try_from(inserted).unwrap_or(u64::MAX))
            })
        })
        .await
    }

    /// The latest slot of the entry named `entry` that is not after `by`; `None` when it has none.
    ///
    /// # Errors
    /// The transient ones.
    pub async fn last_slot(
        &self,
        entry: &'static str,
        by: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        self.run(move |conn| {
            let last: Option<DateTime<Utc>> = dsl::schedule_runs
                .filter(dsl::entry.eq(entry))
                .filter(dsl::slot.le(by.to_datetime()))
                .select(diesel::dsl::max(dsl::slot))
                .first(conn)?;
            Ok(last.map(times::timestamp))
        })
        .await
    }

    /// Slots that were written at least `age` ago and not sent since, oldest first, at most 1,000.
    ///
    /// # Errors
    /// The transient ones.
    pub async fn unsent_slots(&self, age: Duration) -> Result<Vec<UnsentSlot>, StoreError> {
        let millis = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        self.run(move |conn| {
            let old_enough = diesel::dsl::sql::<Bool>("inserted_at <= now() - interval '1 ms' * ")
                .bind::<BigInt, _>(millis);
            let rows: Vec<(String, DateTime<Utc>, Uuid)> = dsl::schedule_runs
                .filter(dsl::enqueued_at.is_null())
                .filter(old_enough)
                .order((dsl::slot, dsl::entry))
                .limit(1_000)
                .select((dsl::entry, dsl::slot, dsl::task_id))
                .load(conn)?;
            let unsent = rows.into_iter().map(|(entry, slot, task_id)| UnsentSlot {
                entry,
                slot: times::timestamp(slot),
                task_id,
            });
            Ok(unsent.collect())
        })
        .await
    }

    /// Marks a slot as sent; false when it was marked already or is not in the ledger.
    ///
    /// # Errors
    /// The transient ones.
    pub async fn mark_enqueued(&self, entry: String, slot: Timestamp) -> Result<bool, StoreError> {
        self.run(move |conn| {
            let run = dsl::schedule_runs.find((entry, slot.to_datetime()));
            let marked = diesel::update(run.filter(dsl::enqueued_at.is_null()))
                .set(dsl::enqueued_at.eq(diesel::dsl::now))
                .execute(conn)?;
            Ok(marked > 0)
        })
        .await
    }

    /// Forgets what nothing will ask for again, once it is older than `age`: the slots of entries of
    /// which only the latest counts, and the runs of tasks that succeeded. Says how many rows went.
    ///
    /// `age` must exceed the time a message can wait in a queue, or a task could run twice.
    ///
    /// # Errors
    /// The transient ones.
    pub async fn forget_old_runs(&self, age: Duration) -> Result<u64, StoreError> {
        let millis = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        self.run(move |conn| {
            let entries: Vec<&str> = adtally_domain::ENTRIES
                .iter()
                .filter(|entry| entry.catch_up == CatchUp::Latest)
                .map(|entry| entry.name)
                .collect();
            let slots = diesel::sql_query(
                "DELETE FROM schedule_runs AS old USING (SELECT entry, max(slot) AS latest \
                     FROM schedule_runs WHERE entry = ANY($1) GROUP BY entry) AS kept \
                 WHERE old.entry = kept.entry AND old.slot < kept.latest \
                     AND old.enqueued_at < now() - interval '1 ms' * $2",
            )
            .bind::<Array<Text>, _>(entries)
            .bind::<BigInt, _>(millis)
            .execute(conn)?;
            let tasks = diesel::sql_query(
                "DELETE FROM task_runs WHERE state = 'succeeded' \
                     AND finished_at < now() - interval '1 ms' * $1",
            )
            .bind::<BigInt, _>(millis)
            .execute(conn)?;
            Ok((slots + tasks) as u64)
        })
        .await
    }
}
