//! Which partitions are there and can be written to.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::NaiveDate;
use diesel::pg::PgConnection;
use diesel::prelude::*;

use super::ensure;
use super::locks::Locks;
use crate::error::is_lost;

/// What this process has seen of partitions. What changes meanwhile shows when a row cannot be
/// inserted.
#[derive(Debug, Default)]
pub(crate) struct PartitionCache(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// Days whose partition is there.
    ready: BTreeSet<NaiveDate>,
    /// Days whose partition could not be made for a lock that somebody held. To try again would be to
    /// wait again, so the lock is looked for first.
    waited_for: BTreeSet<NaiveDate>,
}

/// What was found of days whose partition had not been seen.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Days that have none and get none: they are closed, or too far ahead.
    pub(crate) without: BTreeSet<NaiveDate>,
    /// Days to which nothing can be written now, for a lock that somebody holds.
    pub(crate) locked: BTreeSet<NaiveDate>,
    /// Some were missing and are there now.
    pub(crate) made: bool,
}

impl Found {
    /// Whether an insert that failed before may succeed now.
    pub(crate) fn changes_something(&self) -> bool {
        self.made || !self.without.is_empty() || !self.locked.is_empty()
    }
}

impl PartitionCache {
    /// Makes the missing partitions among `days`.
    pub(crate) fn ensure(
        &self,
        conn: &mut PgConnection,
        days: impl IntoIterator<Item = NaiveDate>,
    ) -> QueryResult<Found> {
        let unseen: Vec<NaiveDate> = {
            let seen = self.seen();
            let days = days.into_iter();
            days.filter(|day| !seen.ready.contains(day)).collect()
        };
        let mut found = Found::default();
        if unseen.is_empty() {
            return Ok(found);
        }
        let mut locks = Locks::look(conn, &unseen)?;
        for day in unseen {
            match locks.partition(day) {
                Some(true) => {
                    found.locked.insert(day);
                }
                Some(false) => {
                    self.seen().ready.insert(day);
                }
                None => self.make(conn, day, &mut locks, &mut found)?,
            }
        }
        Ok(found)
    }

    /// Makes the partition of `day`, unless it was waited for in vain and would be again.
    fn make(
        &self,
        conn: &mut PgConnection,
        day: NaiveDate,
        locks: &mut Locks,
        found: &mut Found,
    ) -> QueryResult<()> {
        let waited = !found.locked.is_empty() || self.seen().waited_for.contains(&day);
        if !(waited && locks.keep_from_making()) {
            match ensure(conn, day) {
                Ok(is_there) => {
                    if is_there {
                        self.seen().ready.insert(day);
                        found.made = true;
                    } else {
                        found.without.insert(day);
                    }
                    self.seen().waited_for.remove(&day);
                    return Ok(());
                }
                Err(error) if is_lost(&error) => return Err(error),
                Err(error) => {
                    locks.look_again(conn)?;
                    if !locks.keep_from_making() {
                        return Err(error);
                    }
                }
            }
        }
        self.seen().waited_for.insert(day);
        found.locked.insert(day);
        Ok(())
    }

    /// Forgets which partitions are there, after an insert failed.
    pub(crate) fn clear(&self) {
        self.seen().ready.clear();
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
