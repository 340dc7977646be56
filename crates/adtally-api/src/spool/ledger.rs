//! What is in the spool at this moment, as writer, reader and everybody who asks agree on it.

mod state;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::NotSpooled;
use super::metrics::SpoolMetrics;
use super::position::Position;
use state::{Change, State};
pub(super) use state::{Extent, Unread};

/// Bytes that may wait for the disk at most: memory, should the disk hang.
const MAX_WAITING: u64 = 64 * 1_024 * 1_024;

/// Free bytes below which the spool says it has no room: one event of any size must fit.
const ROOM: u64 = 64 * 1_024;

/// The account of all segments.
#[derive(Debug)]
pub(super) struct Ledger {
    state: Mutex<State>,
    grown: Notify,
    max_bytes: u64,
    pub(super) metrics: SpoolMetrics,
}

impl Ledger {
    /// An account of `segments`, which earlier processes left; numbers up to `last` are taken.
    pub(super) fn new(
        segments: BTreeMap<u64, Extent>,
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
            grown: Notify::new(),
            max_bytes,
            metrics,
        };
        drop(ledger.change());
        ledger
    }

    /// Lets `bytes` in, if there is room for them.
    pub(super) fn admit(&self, bytes: u64) -> Result<(), NotSpooled> {
        let mut state = self.lock();
        if state.trouble.is_some() {
            return Err(NotSpooled::Refused);
        }
        let waiting = state.waiting + bytes;
        if state.bytes() + waiting > self.max_bytes || waiting > MAX_WAITING {
            return Err(NotSpooled::Refused);
        }
        state.waiting = waiting;
        Ok(())
    }

    /// Why no event can be spooled now, if so.
    pub(super) fn obstacle(&self) -> Option<String> {
        let state = self.lock();
        if let Some(trouble) = &state.trouble {
            return Some(format!("the spool cannot be written: {trouble}"));
        }
        let used = state.bytes() + state.waiting;
        let free = self.max_bytes.saturating_sub(used);
        let room = ROOM.min(self.max_bytes / 8 + 1);
        (free < room).then(|| format!("the spool is full: {used} of {} bytes", self.max_bytes))
    }

    /// Whether the disk could not be written to when it was last tried.
    pub(super) fn is_in_trouble(&self) -> bool {
        self.lock().trouble.is_some()
    }

    /// Bytes that were let in and are not on disk yet.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> u64 {
        self.lock().waiting
    }

    /// A number for a new segment.
    pub(super) fn allot(&self) -> u64 {
        let mut state = self.lock();
        state.last += 1;
        state.last
    }

    /// A new segment is there and is now written to.
    pub(super) fn opened(&self, number: u64) {
        let mut state = self.change();
        state.segments.insert(number, Extent::default());
        state.active = Some(number);
        state.writing = true;
    }

    /// Holds the active segment for writing, unless it is `number` no more.
    pub(super) fn claim(&self, number: u64) -> bool {
        let mut state = self.lock();
        let aside = state.segments.get(&number).is_none_or(|it| it.aside);
        state.writing = state.active == Some(number) && !aside;
        state.writing
    }

    /// So much more of the active segment is on disk.
    pub(super) fn written(&self, bytes: u64, events: u64, at: i64) {
        {
            let mut state = self.change();
            state.settle(bytes);
            state.trouble = None;
            if let Some(extent) = state.active_extent() {
                extent.end += bytes;
                extent.events += events;
                extent.oldest.get_or_insert(at);
            }
        }
        self.metrics.written.inc_by(events);
        self.grown.notify_one();
    }

    /// So much could not be written. The active segment is written to no more.
    pub(super) fn failed(&self, bytes: u64, trouble: String) {
        {
            let mut state = self.change();
            state.settle(bytes);
            state.active = None;
            state.trouble = Some(trouble);
        }
        // A reader may be waiting for more of a segment that is over.
        self.grown.notify_one();
    }

    /// The disk can be written to again.
    pub(super) fn recovered(&self) {
        let mut state = self.lock();
        state.writing = false;
        state.trouble = None;
    }

    /// What comes next after `position`. A segment that is over comes even when nothing of it is
    /// left, so that it can be finished.
    pub(super) fn unread(&self, position: Position) -> Option<Unread> {
        self.lock().unread(position)
    }

    /// Waits for [`Self::unread`] to have news.
    pub(super) async fn grown(&self) {
        self.grown.notified().await;
    }

    /// The next record of a segment was written then.
    pub(super) fn next_is_from(&self, segment: u64, written_at: i64) {
        if let Some(extent) = self.lock().segments.get_mut(&segment) {
            extent.oldest = Some(written_at);
        }
    }

    /// Everything before `position` is done with, `events` of it newly. Whether that was all of the
    /// segment: then it is struck off and its file is to be removed.
    pub(super) fn passed(&self, position: Position, events: u64) -> bool {
        let mut state = self.change();
        let is_held = state.writing && state.active == Some(position.segment);
        let Some(extent) = state.segments.get_mut(&position.segment) else {
            return false;
        };
        extent.events = extent.events.saturating_sub(events);
        if position.offset < extent.end || is_held {
            return false;
        }
        state.segments.remove(&position.segment);
        state.active = state.active.filter(|active| *active != position.segment);
        true
    }

    /// A segment cannot be read now; it stays as it is.
    pub(super) fn set_aside(&self, segment: u64) {
        if let Some(extent) = self.lock().segments.get_mut(&segment) {
            extent.aside = true;
        }
    }

    /// Segments that were set aside are to be tried again.
    pub(super) fn bring_back(&self, segments: &[u64]) {
        let mut state = self.lock();
        for segment in segments {
            if let Some(extent) = state.segments.get_mut(segment) {
                extent.aside = false;
            }
        }
    }

    /// Brings the metrics that time changes up to `now`, in Unix milliseconds.
    pub(super) fn age(&self, now: i64) {
        let state = self.lock();
        let oldest = state.segments.values().filter_map(|extent| extent.oldest);
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
