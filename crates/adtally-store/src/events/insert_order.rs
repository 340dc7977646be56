//! In which order rows enter the index.
//!
//! A page of a B-tree that runs full is split: the last page so that nine tenths stay behind, any other
//! in halves (PostgreSQL's `nbtsplitloc.c`). Rows that come in the order of their ids and end where the
//! index ends therefore leave full pages. Where others lie behind them, say clicks that were stored long
//! before the impressions of their time, they leave one half-full page after the other: an index of twice
//! the size, with twice the splits. In two halves, the second fills what the first left.

use std::sync::{Mutex, PoisonError};

use adtally_domain::EventId;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use uuid::Uuid;

use super::copy_buffer::{Half, RowRef};
use crate::partitions::{self, utc_day};
use crate::schema::events::dsl;

/// Rows that fill more than a handful of pages, which take some 290 ids each. Fewer are not worth a
/// question.
const MANY: usize = 2_048;
/// More ids than a page takes: with so many behind it a row does not belong on the last page.
const LAST_PAGE: i64 = 400;

/// Rows in the order in which they are inserted.
pub(super) struct InsertOrder<'a> {
    /// All of them, by id.
    pub(super) sorted: &'a [RowRef<'a>],
    /// Whether one half of them goes first. Which half is a property of the id, so writers that both do this
    /// lock the same ids in the same order. One that does and one that does not may meet in a deadlock, which
    /// is tried again like any other.
    in_halves: bool,
}

impl<'a> InsertOrder<'a> {
    /// The best order for rows that are `sorted` by id.
    pub(super) fn of(
        conn: &mut PgConnection,
        tail: &IndexTail,
        sorted: &'a [RowRef<'a>],
    ) -> QueryResult<Self> {
        // The row at 3/4: the last may come from a client whose clock is ahead.
        let in_halves = match sorted.get(sorted.len() / 4 * 3) {
            Some(row) if sorted.len() >= MANY => tail.is_behind(conn, row.id())?,
            _ => false,
        };
        Ok(Self { sorted, in_halves })
    }

    /// Each row once, in this order.
    pub(super) fn rows(&self) -> impl Iterator<Item = &RowRef<'a>> {
        let second: &[RowRef<'a>] = if self.in_halves { self.sorted } else { &[] };
        let first = self.sorted.iter();
        let first = first.filter(|row| !self.in_halves || row.half() == Half::First);
        first.chain(second.iter().filter(|row| row.half() == Half::Second))
    }
}

/// The last id found with more than a page of others behind it, if any. Events are not deleted one by
/// one, so this holds for all ids before it that are of its day. A backlog need not ask for each batch.
#[derive(Debug, Default)]
pub(crate) struct IndexTail(Mutex<Option<EventId>>);

impl IndexTail {
    /// Whether more ids are behind this one than a page takes, in the partition of its day: each
    /// has an index of its own.
    fn is_behind(&self, conn: &mut PgConnection, id: EventId) -> QueryResult<bool> {
        let known = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_some_and(|last| id < last && utc_day(id.time()) == utc_day(last.time())) {
            return Ok(true);
        }
        let Some(found) = last_before_pages(conn, id)? else {
            return Ok(false);
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
        Ok(true)
    }
}

/// The last id after `id` in its partition that has more than a page of others behind it. Few of them
/// are read, in the index's order; sorting all of them instead pays only in a partition that is small.
fn last_before_pages(conn: &mut PgConnection, id: EventId) -> QueryResult<Option<EventId>> {
    let end = EventId::floor(partitions::end_of(utc_day(id.time())));
    let last: Option<Uuid> = dsl::events
        .select(dsl::event_id)
        .filter(dsl::event_id.gt(id.as_uuid()))
        .filter(dsl::event_id.lt(end))
        .order(dsl::event_id.desc())
        .offset(LAST_PAGE)
        .first(conn)
        .optional()?;
    Ok(last.and_then(EventId::from_uuid))
}
