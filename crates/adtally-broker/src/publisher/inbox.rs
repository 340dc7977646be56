//! What callers have handed over and the owner of the connection has not taken yet.
//!
//! Waking the owner for an event that has to wait for company anyway would cost two switches of
//! threads for nothing. So it is woken for finished messages, for a full pack of one kind, and for as
//! many events as it asked for.
//!
//! Callers put their events into one pack themselves, while they have them in their processor's cache:
//! the owner would have to fetch each from another's, and to free memory that is not its thread's.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::PublisherOptions;
use super::handover::Command;
use super::per_lane::PerLane;
use crate::NotKept;

/// Callers fill this part of a pack together: an eighth. A pack is made of whole pieces, and one that
/// they share leaves no more than that empty.
const SHARED_PART: usize = 8;

/// The callers' end.
#[derive(Debug)]
pub(super) struct Outbox(Arc<Shared>);

/// The owner's end. What is in it when it is dropped is answered with [`NotKept::Closed`].
pub(super) struct Inbox(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    waiting: Mutex<Waiting>,
    wake: Notify,
    /// Tell what a full pack is, and how much of one callers share.
    options: Arc<PublisherOptions>,
}

#[derive(Debug, Default)]
struct Waiting {
    lanes: PerLane<Filling>,
    /// Events of all lanes.
    events: usize,
    /// The owner asked to be woken for so many events.
    wanted: Option<usize>,
    is_closed: bool,
}

/// What waits of one lane.
#[derive(Debug, Default)]
struct Filling {
    commands: Vec<Command>,
    bytes: usize,
    events: usize,
}

/// Both ends of a new inbox.
pub(super) fn inbox(options: Arc<PublisherOptions>) -> (Outbox, Inbox) {
    let shared = Arc::new(Shared {
        waiting: Mutex::default(),
        wake: Notify::new(),
        options,
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
        let wakes = waiting.push(command, &self.0.options);
        drop(waiting);
        if wakes {
            self.0.wake.notify_one();
        }
        Ok(())
    }
}

impl Inbox {
    /// Everything that waits, each lane's in the order it came.
    pub(super) fn take(&self) -> impl Iterator<Item = Command> {
        let mut waiting = self.0.lock();
        waiting.events = 0;
        let lanes = std::mem::take(&mut waiting.lanes);
        lanes.into_all().into_iter().flat_map(|lane| lane.commands)
    }

    pub(super) fn is_empty(&self) -> bool {
        let waiting = self.0.lock();
        waiting
            .lanes
            .all()
            .iter()
            .all(|lane| lane.commands.is_empty())
    }

    /// Returns when it may be time to take: as many events wait as are `wanted`, or something that can
    /// be sent in any case. May be dropped.
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
    fn push(&mut self, command: Command, options: &PublisherOptions) -> bool {
        let is_finished = matches!(command, Command::Shipment(_));
        self.events += command.events();
        let lane = self.lanes.of_mut(command.kind());
        let was_full = lane.is_full(options);
        lane.add(command, options);
        let fills = !was_full && lane.is_full(options);
        let events = self.events;
        let is_wanted = self.wanted.take_if(|wanted| events >= *wanted).is_some();
        is_wanted || fills || is_finished
    }
}

impl Filling {
    fn add(&mut self, command: Command, options: &PublisherOptions) {
        self.events += command.events();
        match (command, self.commands.last_mut()) {
            (Command::Chunk(chunk), Some(Command::Chunk(open)))
                if open.fits_with(&chunk, SHARED_PART, options) =>
            {
                let before = open.bytes();
                open.absorb(chunk);
                self.bytes += open.bytes() - before;
            }
            (command, _) => {
                self.bytes += command.bytes();
                self.commands.push(command);
            }
        }
    }

    fn is_full(&self, options: &PublisherOptions) -> bool {
        options.is_full_pack(self.bytes, self.events)
    }
}
