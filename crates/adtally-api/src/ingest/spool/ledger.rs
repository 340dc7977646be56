//! The account of what is in the spool, shared by writer, reader and readiness.

mod state;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::checkpoint::Checkpoint;
use super::metrics::SpoolMetrics;
use state::{Change, State};
pub(super) use state::{SegmentInfo, UnreadRange};

/// The most bytes that may wait for the disk: memory, should the disk hang.
const MAX_PENDING_BYTES: u64 = 64 * 1_024 * 1_024;

/// Free bytes below which the spool says it has no room: one event of any size must fit.
const ROOM: u64 = 64 * 1_024;

/// Why events are not in the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotSpooled {
    /// There is no room, or the disk cannot be written to. They surely are not.
    Refused,
    /// The disk failed, or did not answer in time, while they were written. They may be.
    Unsure,
}

/// The account of all segments.
#[derive(Debug)]
pub(super) struct Ledger {
    state: Mutex<State>,
    data_added: Notify,
    max_bytes: u64,
    pub(super) metrics: SpoolMetrics,
}

impl Ledger {
    /// An account of `segments`, which earlier processes left; numbers up to `last` are taken.
    pub(super) fn new(
        segments: BTreeMap<u64, SegmentInfo>,
        last: u64,
        max_bytes: u64,
        metrics: SpoolMetrics,
    ) -> Self {
        let state = State {
            segments,
            last,
            ..State::default()
        };
        let ledger = Self {
            state: Mutex::new(state),
            data_added: Notify::new(),
            max_bytes,
            metrics,
        };
        drop(ledger.change());
        ledger
    }

    /// Reserves room for `bytes` that are to be written.
    ///
    /// # Errors
    /// There is no room, or the disk cannot be written to.
    pub(super) fn reserve(&self, bytes: u64) -> Result<(), NotSpooled> {
        let mut state = self.lock();
        if state.disk_error.is_some() {
            return Err(NotSpooled::Refused);
        }
        let pending = state.pending_bytes + bytes;
        if state.bytes() + pending > self.max_bytes || pending > MAX_PENDING_BYTES {
            return Err(NotSpooled::Refused);
        }
        state.pending_bytes = pending;
        Ok(())
    }

    /// Why no event can be spooled now, if so.
    pub(super) fn unavailable_because(&self) -> Option<String> {
        let state = self.lock();
        if let Some(error) = &state.disk_error {
            return Some(format!("the spool cannot be written: {error}"));
        }
        let used = state.bytes() + state.pending_bytes;
        let free = self.max_bytes.saturating_sub(used);
        let room = ROOM.min(self.max_bytes / 8 + 1);
        (free < room).then(|| format!("the spool is full: {used} of {} bytes", self.max_bytes))
    }

    /// Whether the last attempt to write to the disk failed.
    pub(super) fn has_failed(&self) -> bool {
        self.lock().disk_error.is_some()
    }

    /// Bytes that have room reserved and are not on disk yet.
    #[cfg(test)]
    pub(super) fn pending_bytes(&self) -> u64 {
        self.lock().pending_bytes
    }

    /// A number for a new segment.
    pub(super) fn next_number(&self) -> u64 {
        let mut state = self.lock();
        state.last += 1;
        state.last
    }

    /// A new segment exists and is now written to.
    pub(super) fn opened(&self, number: u64) {
        let mut state = self.change();
        state.segments.insert(number, SegmentInfo::default());
        state.active = Some(number);
        state.is_writing = true;
    }

    /// Keeps the active segment from being removed while it is written to; false if it is not `number` any
    /// more.
    pub(super) fn begin_write(&self, number: u64) -> bool {
        let mut state = self.lock();
        let info = state.segments.get(&number);
        let is_usable = info.is_some_and(|info| !info.is_skipped);
        state.is_writing = state.active == Some(number) && is_usable;
        state.is_writing
    }

    /// So many more bytes of the active segment are on disk.
    pub(super) fn written(&self, bytes: u64, events: u64, at: i64) {
        {
            let mut state = self.change();
            state.end_write(bytes);
            state.disk_error = None;
            if let Some(info) = state.active_info() {
                info.end += bytes;
                info.events += events;
                info.oldest.get_or_insert(at);
            }
        }
        self.metrics.written.inc_by(events);
        self.data_added.notify_one();
    }

    /// So many bytes could not be written. The active segment is not written to any more.
    pub(super) fn failed(&self, bytes: u64, error: String) {
        {
            let mut state = self.change();
            state.end_write(bytes);
            state.active = None;
            state.disk_error = Some(error);
        }
        // A reader may be waiting for more of a segment that has ended.
        self.data_added.notify_one();
    }

    /// The disk can be written to again.
    pub(super) fn recovered(&self) {
        let mut state = self.lock();
        state.is_writing = false;
        state.disk_error = None;
    }

    /// What comes next after `checkpoint`. A segment that has ended comes even when nothing of it is left, so
    /// that it can be removed.
    pub(super) fn next_unread(&self, checkpoint: Checkpoint) -> Option<UnreadRange> {
        self.lock().next_unread(checkpoint)
    }

    /// Waits until [`Self::next_unread`] may answer something else.
    pub(super) async fn wait_for_data(&self) {
        self.data_added.notified().await;
    }

    /// The next record of a segment was written then.
    pub(super) fn set_oldest(&self, segment: u64, written_at: i64) {
        if let Some(info) = self.lock().segments.get_mut(&segment) {
            info.oldest = Some(written_at);
        }
    }

    /// Everything before `checkpoint` is confirmed, `events` of it newly. Whether that was all of the
    /// segment: then the ledger forgets it, and its file is to be removed.
    pub(super) fn acknowledge(&self, checkpoint: Checkpoint, events: u64) -> bool {
        let mut state = self.change();
        let is_written_to = state.is_writing && state.active == Some(checkpoint.segment);
        let Some(info) = state.segments.get_mut(&checkpoint.segment) else {
            return false;
        };
        info.events = info.events.saturating_sub(events);
        if checkpoint.offset < info.end || is_written_to {
            return false;
        }
        state.segments.remove(&checkpoint.segment);
        state.active = state.active.filter(|active| *active != checkpoint.segment);
        true
    }

    /// A segment cannot be read now; it stays as it is.
    pub(super) fn skip(&self, segment: u64) {
        if let Some(info) = self.lock().segments.get_mut(&segment) {
            info.is_skipped = true;
        }
    }

    /// Skipped segments are to be tried again.
    pub(super) fn unskip(&self, segments: &[u64]) {
        let mut state = self.lock();
        for segment in segments {
            if let Some(info) = state.segments.get_mut(segment) {
                info.is_skipped = false;
            }
        }
    }

    /// Brings the metric of the oldest event's age up to `now`, in Unix milliseconds.
    pub(super) fn update_age(&self, now: i64) {
        let state = self.lock();
        let oldest = state.segments.values().filter_map(|info| info.oldest);
        let age = oldest.min().map_or(0, |oldest| (now - oldest).max(0));
        self.metrics.oldest_age.set(age / 1_000);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No step in between leaves the account wrong enough to stop counting.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) -> Change<'_> {
        Change {
            state: self.lock(),
            metrics: &self.metrics,
        }
    }
}
