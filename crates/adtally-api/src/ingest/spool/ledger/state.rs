//! The figures of the account.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::MutexGuard;

use crate::ingest::spool::checkpoint::Checkpoint;
use crate::ingest::spool::metrics::SpoolMetrics;

/// Everything that is known of the spool.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) segments: BTreeMap<u64, SegmentInfo>,
    /// The segment that is written to.
    pub(super) active: Option<u64>,
    /// The writer is writing to it: the segment must not be removed.
    pub(super) is_writing: bool,
    /// Bytes that have room reserved and are not on disk yet.
    pub(super) pending_bytes: u64,
    /// Why the disk cannot be written to.
    pub(super) disk_error: Option<String>,
    /// The highest number ever given.
    pub(super) last: u64,
}

/// What is known of one segment.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::ingest::spool) struct SegmentInfo {
    /// Bytes that are surely on disk.
    pub(super) end: u64,
    /// Events that are not replayed yet.
    pub(super) events: u64,
    /// When the first of them was written, in Unix milliseconds.
    pub(super) oldest: Option<i64>,
    /// It cannot be read now; it may be later, or by another process.
    pub(super) is_skipped: bool,
}

impl SegmentInfo {
    /// A segment that an earlier process left.
    pub(in crate::ingest::spool) fn leftover(end: u64, events: u64, oldest: Option<i64>) -> Self {
        Self {
            end,
            events,
            oldest,
            is_skipped: false,
        }
    }
}

/// A part of a segment that was not read yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ingest::spool) struct UnreadRange {
    pub(in crate::ingest::spool) segment: u64,
    pub(in crate::ingest::spool) from: u64,
    pub(in crate::ingest::spool) end: u64,
}

impl State {
    pub(super) fn bytes(&self) -> u64 {
        self.segments.values().map(|info| info.end).sum()
    }

    pub(super) fn end_write(&mut self, bytes: u64) {
        self.pending_bytes = self.pending_bytes.saturating_sub(bytes);
        self.is_writing = false;
    }

    pub(super) fn active_info(&mut self) -> Option<&mut SegmentInfo> {
        self.segments.get_mut(&self.active?)
    }

    /// What comes next after `checkpoint`, in a segment that can be read. A segment that has
    /// ended comes even when nothing of it is left, so that it can be removed.
    pub(super) fn next_unread(&self, checkpoint: Checkpoint) -> Option<UnreadRange> {
        let readable = self.segments.iter().filter(|(_, info)| !info.is_skipped);
        let mut unread = readable.map(|(&segment, info)| {
            let here = segment == checkpoint.segment && checkpoint.offset <= info.end;
            let from = if here { checkpoint.offset } else { 0 };
            let end = info.end;
            UnreadRange { segment, from, end }
        });
        unread.find(|it| it.from < it.end || self.active != Some(it.segment))
    }
}

/// A change of the account. The gauges show it as soon as it is dropped.
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
        let events = self.segments.values().map(|info| info.events).sum();
        self.metrics.bytes.set(gauge(self.bytes()));
        self.metrics.events.set(gauge(events));
    }
}
