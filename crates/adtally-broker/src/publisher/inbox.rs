//! What callers have handed over and the owner of the connection has not taken yet.
//!
//! Waking the owner for an event that has to wait for company anyway would cost two switches of
//! threads for nothing. So it is woken for what it could send at once, and for as much as a full pack.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::handover::Command;
use super::per_lane::PerLane;
use crate::NotKept;

/// The callers' end.
#[derive(Debug)]
pub(super) struct Outbox(Arc<Shared>);

/// The owner's end. What is in it when it is dropped is answered with [`NotKept::Closed`].
pub(super) struct Inbox(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    waiting: Mutex<Waiting>,
    wake: Notify,
    /// Bytes of one lane that wake the owner in any case.
    enough: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    commands: Vec<Command>,
    /// Bytes of each lane.
    bytes: PerLane<usize>,
    /// Events of all lanes.
    events: usize,
    /// The owner asked to be woken for so many events.
    wanted: Option<usize>,
    is_closed: bool,
}

/// Both ends of a new inbox; `enough` bytes of one lane wake the owner in any case.
pub(super) fn inbox(enough: usize) -> (Outbox, Inbox) {
    let shared = Arc::new(Shared {
        waiting: Mutex::default(),
        wake: Notify::new(),
        enough,
    });
    (Outbox(Arc::clone(&shared)), Inbox(shared))
}

impl Outbox {
    /// # Errors
    /// [`NotKept::Closed`] when nobody takes commands any more.
    pub(super) fn send(&self, command: Command) -> Result<(), NotKept> {
        let mut waiting = self.0.lock();
        if waiting.is_closed {
            return Err(NotKept::Closed);
        }
        let wakes = waiting.push(command, self.0.enough);
        drop(waiting);
        if wakes {
            self.0.wake.notify_one();
        }
        Ok(())
    }
}

impl Inbox {
    /// Everything that waits, in the order it came.
    pub(super) fn take(&self) -> Vec<Command> {
        let mut waiting = self.0.lock();
        waiting.bytes = PerLane::default();
        waiting.events = 0;
        std::mem::take(&mut waiting.commands)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().commands.is_empty()
    }

    /// Returns when it may be time to take: as many events wait as are `wanted`, or much of one lane in
    /// any case. May be dropped.
    pub(super) async fn filled(&self, wanted: Option<usize>) {
        {
            let mut waiting = self.0.lock();
            if wanted.is_some_and(|wanted| waiting.events >= wanted) {
                return;
            }
            waiting.wanted = wanted;
        }
        self.0.wake.notified().await;
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.0.lock().is_closed = true;
        // Outside the lock: what is dropped answers its callers.
        drop(self.take());
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing in here panics between two changes that belong together.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Adds a command; whether the owner is to be woken.
    fn push(&mut self, command: Command, enough: usize) -> bool {
        let bytes = self.bytes.of_mut(command.kind());
        let goes_alone = command.kind().is_none();
        let before = *bytes;
        *bytes += command.bytes();
        let is_enough = before < enough && *bytes >= enough;
        self.events += command.events();
        self.commands.push(command);
        let events = self.events;
        let is_wanted = self.wanted.take_if(|wanted| events >= *wanted).is_some();
        is_wanted || is_enough || goes_alone
    }
}
