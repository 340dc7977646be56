//! The figures of the account.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::MutexGuard;

use crate::spool::metrics::SpoolMetrics;
use crate::spool::position::Position;

/// Everything that is known of the spool.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) segments: BTreeMap<u64, Extent>,
    /// The segment that is written to.
    pub(super) active: Option<u64>,
    /// The writer is at it: the segment must not be removed.
    pub(super) writing: bool,
    /// Bytes that were let in and are not on disk yet.
    pub(super) waiting: u64,
    /// Why the disk cannot be written to.
    pub(super) trouble: Option<String>,
    /// The highest number ever given.
    pub(super) last: u64,
}

/// What is known of one segment.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::spool) struct Extent {
    /// Bytes that are surely on disk.
    pub(super) end: u64,
    /// Events that are not replayed yet.
    pub(super) events: u64,
    /// When the first of them was written, in Unix milliseconds.
    pub(super) oldest: Option<i64>,
    /// It cannot be read now; it may be later, or by another process.
    pub(super) aside: bool,
}

impl Extent {
    /// A segment that an earlier process left.
    pub(in crate::spool) fn left(end: u64, events: u64, oldest: Option<i64>) -> Self {
        Self {
            end,
            events,
            oldest,
            aside: false,
        }
    }
}

/// A stretch of a segment that was not read yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::spool) struct Unread {
    pub(in crate::spool) segment: u64,
    pub(in crate::spool) from: u64,
    pub(in crate::spool) end: u64,
}

impl State {
    pub(super) fn bytes(&self) -> u64 {
        self.segments.values().map(|extent| extent.end).sum()
    }

    pub(super) fn settle(&mut self, bytes: u64) {
        self.waiting = self.waiting.saturating_sub(bytes);
        self.writing = false;
    }

    pub(super) fn active_extent(&mut self) -> Option<&mut Extent> {
        self.segments.get_mut(&self.active?)
    }

    /// What comes next after `position`, in a segment that can be read. A segment that is over comes
    /// even when nothing of it is left, so that it can be finished.
    pub(super) fn unread(&self, position: Position) -> Option<Unread> {
        let readable = self.segments.iter().filter(|(_, extent)| !extent.aside);
        let mut unread = readable.map(|(&segment, extent)| {
            let here = segment == position.segment && position.offset <= extent.end;
            let from = if here { position.offset } else { 0 };
            let end = extent.end;
            Unread { segment, from, end }
        });
        unread.find(|it| it.from < it.end || self.active != Some(it.segment))
    }
}

/// A change of the account that the gauges show as soon as it is over.
pub(super) struct Change<'a> {
    pub(super) state: MutexGuard<'a, State>,
    pub(super) metrics: &'a SpoolMetrics,
}

impl Deref for Change<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for Change<'_> {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let events = self.segments.values().map(|extent| extent.events).sum();
        self.metrics.bytes.set(gauge(self.bytes()));
        self.metrics.events.set(gauge(events));
    }
}
