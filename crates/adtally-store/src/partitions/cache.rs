//! Which partitions are there.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::NaiveDate;
use diesel::pg::PgConnection;
use diesel::prelude::*;

use super::ensure;

/// The days whose partition this process has seen. A partition that is dropped meanwhile shows when
/// a row cannot be inserted.
#[derive(Debug, Default)]
pub(crate) struct PartitionCache(Mutex<BTreeSet<NaiveDate>>);

/// What was found of days whose partition had not been seen.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Days that have none and get none: they are closed, or too far ahead.
    pub(crate) without: BTreeSet<NaiveDate>,
    /// Some were missing and are there now.
    pub(crate) made: bool,
}

impl Found {
    /// Whether an insert that failed before may succeed now.
    pub(crate) fn changes_something(&self) -> bool {
        self.made || !self.without.is_empty()
    }
}

impl PartitionCache {
    /// Makes the missing partitions among `days`.
    pub(crate) fn ensure(
        &self,
        conn: &mut PgConnection,
        days: impl IntoIterator<Item = NaiveDate>,
    ) -> QueryResult<Found> {
        let mut found = Found::default();
        for day in days {
            if self.seen().contains(&day) {
                continue;
            }
            let is_there = super::exists(conn, day)?;
            if is_there || ensure(conn, day)? {
                found.made |= !is_there;
                self.seen().insert(day);
            } else {
                found.without.insert(day);
            }
        }
        Ok(found)
    }

    /// Forgets what was seen, after an insert failed.
    pub(crate) fn clear(&self) {
        self.seen().clear();
    }

    fn seen(&self) -> MutexGuard<'_, BTreeSet<NaiveDate>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
