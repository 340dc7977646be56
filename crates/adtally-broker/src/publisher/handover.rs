//! Where callers and the owner of the connection meet.

use std::thread::{self, ThreadId};

use adtally_domain::EventKind;
use tokio::sync::{Mutex, Semaphore, oneshot, watch};
use tokio::time::{Instant, timeout_at};

use super::chunk::Chunk;
use super::inbox::Outbox;
use super::per_lane::PerLane;
use super::room::{Place, Room};
use super::shipment::Shipment;
use crate::NotKept;

/// What callers hand over.
#[derive(Debug)]
pub(super) enum Command {
    /// Events that may share a pack with others.
    Chunk(Chunk),
    /// A finished message.
    Shipment(Box<Shipment>),
}

impl Command {
    /// The kind of its events; `None` for a message that travels alone.
    pub(super) fn kind(&self) -> Option<EventKind> {
        match self {
            Self::Chunk(chunk) => Some(chunk.kind()),
            Self::Shipment(shipment) => shipment.kind,
        }
    }

    /// How many events there are; a message that travels alone is one.
    pub(super) fn events(&self) -> usize {
        match self {
            Self::Chunk(chunk) => chunk.events(),
            Self::Shipment(_) => 1,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Chunk(chunk) => chunk.bytes(),
            Self::Shipment(shipment) => shipment.body.len(),
        }
    }
}

/// The callers' side.
#[derive(Debug)]
pub(super) struct Handover {
    outbox: Outbox,
    /// Bound the memory of everything handed over and not yet answered: each kind has its own, so
    /// that a flood of one leaves room for the others.
    rooms: PerLane<Room>,
    closing: watch::Sender<bool>,
    /// Tells that the owner has ended, until somebody was told.
    owner_ended: Mutex<Option<oneshot::Receiver<()>>>,
}

impl Handover {
    pub(super) fn new(
        outbox: Outbox,
        bytes: usize,
        closing: watch::Sender<bool>,
        owner_ended: oneshot::Receiver<()>,
    ) -> Self {
        let room_bytes = bytes.min(Semaphore::MAX_PERMITS);
        Self {
            outbox,
            rooms: PerLane::from_fn(|| Room::new(room_bytes)),
            closing,
            owner_ended: Mutex::new(Some(owner_ended)),
        }
    }

    /// Room for a message of `bytes`, as soon as there is some. One larger than the room takes all of
    /// it.
    pub(super) async fn claim(
        &self,
        kind: Option<EventKind>,
        bytes: usize,
        deadline: Instant,
    ) -> Result<(Claim, Answer), NotKept> {
        if *self.closing.borrow() {
            return Err(NotKept::Closed);
        }
        let place = self.rooms.of(kind).enter(bytes, deadline).await?;
        let (sender, receiver) = oneshot::channel();
        Ok((
            Claim {
                sender,
                home: thread::current().id(),
                in_doubt: false,
                _place: place,
            },
            Answer(receiver),
        ))
    }

    /// Bytes that wait for their answer, of events of `kind` or of single messages.
    pub(super) fn waiting_bytes(&self, kind: Option<EventKind>) -> usize {
        self.rooms.of(kind).used()
    }

    pub(super) fn send(&self, command: Command) -> Result<(), NotKept> {
        self.outbox.send(command)
    }

    pub(super) async fn close(&self) {
        self.closing.send_replace(true);
        let mut owner_ended = self.owner_ended.lock().await;
        if let Some(ended) = owner_ended.as_mut()
            && ended.await.is_err()
        {
            log::error!("broker: the publishing task failed");
        }
        *owner_ended = None;
    }
}

/// What the owner of the connection owes a caller: an answer, and the room its message takes.
#[derive(Debug)]
pub(super) struct Claim {
    sender: oneshot::Sender<Relay>,
    /// The thread its caller was on. An HTTP request never leaves it; who does is woken all the same.
    home: ThreadId,
    /// Its message was sent on a connection that ended before the confirm came.
    in_doubt: bool,
    _place: Place,
}

impl Claim {
    /// From now on no refusal is certain: the broker may have the message from before.
    pub(super) fn doubt(&mut self) {
        self.in_doubt = true;
    }

    fn answer(self, result: Result<(), NotKept>) {
        self.relay(result, Vec::new());
    }

    /// Answers the caller, who answers `others` in turn.
    fn relay(self, result: Result<(), NotKept>, others: Vec<Self>) {
        let own = match result {
            Err(NotKept::Nacked) if self.in_doubt => Err(NotKept::Deadline),
            result => result,
        };
        // Nobody listens any more when the deadline has passed. The others are answered all the same.
        let _ = self.sender.send(Relay {
            own,
            result,
            others,
        });
    }

    /// Whether the caller has given up waiting.
    pub(super) fn is_abandoned(&self) -> bool {
        self.sender.is_closed()
    }
}

/// Gives all `claims` the same answer.
///
/// Waking a task of another thread costs a system call, waking one of the same thread does not. So one
/// caller on each thread is woken, and passes the answer on.
pub(super) fn answer_all(claims: Vec<Claim>, result: Result<(), NotKept>) {
    let mut homes: Vec<(ThreadId, Vec<Claim>)> = Vec::new();
    for claim in claims {
        match homes.iter_mut().find(|(home, _)| *home == claim.home) {
            Some((_, neighbours)) => neighbours.push(claim),
            None => homes.push((claim.home, vec![claim])),
        }
    }
    for (_, mut neighbours) in homes {
        if let Some(first) = neighbours.pop() {
            first.relay(result, neighbours);
        }
    }
}

/// An answer on its way to one caller, with those it is to be passed on to. They have it once this
/// is dropped, whether it arrived or not.
#[derive(Debug)]
struct Relay {
    /// The answer of the caller it goes to.
    own: Result<(), NotKept>,
    /// What all were to be told.
    result: Result<(), NotKept>,
    others: Vec<Claim>,
}

impl Drop for Relay {
    fn drop(&mut self) {
        for claim in self.others.drain(..) {
            claim.answer(self.result);
        }
    }
}

/// The caller's end of a [`Claim`].
pub(super) struct Answer(oneshot::Receiver<Relay>);

impl Answer {
    pub(super) async fn by(self, deadline: Instant) -> Result<(), NotKept> {
        match timeout_at(deadline, self.0).await {
            Ok(Ok(relay)) => relay.own,
            Ok(Err(_)) => Err(NotKept::Closed),
            Err(_) => Err(NotKept::Deadline),
        }
    }
}
