//! From a dead letter back to the message it came from.

use adtally_broker::{Route, Topology};
use adtally_domain::{EventKind, requeued_message_id};
use adtally_store::DeadLetter;
use adtally_wire::{Envelope, celery, pack};
use serde_json::Value;
use uuid::Uuid;

use super::DeadLetterFault;

/// A message that is ready to be put back.
#[derive(Debug, PartialEq)]
pub(super) struct Parcel {
    pub(super) route: Route,
    pub(super) envelope: Envelope,
    pub(super) body: Vec<u8>,
}

impl Parcel {
    /// The message of `letter`.
    ///
    /// An event travels alone in a pack that carries the letter's id. Any other message goes back
    /// as it was, byte for byte and with its headers, which give it the same letter again; only a
    /// task forgets how often it was tried and until when it was wanted.
    pub(super) fn of(letter: DeadLetter, topology: &Topology) -> Result<Self, DeadLetterFault> {
        if letter.is_event() {
            return Self::of_event(letter, topology);
        }
        let task = task_of(&letter);
        let route = match task {
            Some(_) => route_of_task(&letter, topology)?,
            None => route(&letter, topology)?,
        };
        let mut parcel = Self {
            route,
            envelope: envelope(&letter),
            body: letter.letter.body,
        };
        if task.is_some() {
            parcel.refresh_task(letter.letter.id);
        }
        Ok(parcel)
    }

    fn refresh_task(&mut self, letter: Uuid) {
        celery::reset_attempts(&mut self.envelope, &mut self.body);
        // Without a name it would be known by its body, which may be another now.
        let name = &mut self.envelope.message_id;
        if name.as_deref().is_none_or(str::is_empty) {
            *name = Some(requeued_message_id(letter));
        }
    }

    fn of_event(letter: DeadLetter, topology: &Topology) -> Result<Self, DeadLetterFault> {
        let event: Value =
            serde_json::from_slice(&letter.letter.body).map_err(|_| DeadLetterFault::NotJson)?;
        let kind = event.get("kind").and_then(Value::as_str);
        let kind: Option<EventKind> = kind.and_then(|kind| kind.parse().ok());
        Ok(Self {
            route: match kind {
                Some(kind) => topology.route_of_events(kind),
                None => route(&letter, topology)?,
            },
            envelope: Envelope {
                message_id: Some(requeued_message_id(letter.letter.id)),
                message_type: Some(pack::MESSAGE_TYPE.to_owned()),
                content_type: Some("application/json".to_owned()),
                ..Envelope::default()
            },
            body: pack::of_entry(&letter.letter.body),
        })
    }
}

/// The task in `letter`, when it holds one.
pub(super) fn task_of(letter: &DeadLetter) -> Option<Uuid> {
    if letter.is_event() {
        return None;
    }
    celery::task_id(&envelope(letter), &letter.letter.body)
}

/// What the message said about itself; nothing where that was not kept.
fn envelope(letter: &DeadLetter) -> Envelope {
    serde_json::from_value(letter.letter.headers.clone()).unwrap_or_default()
}

/// Tasks are run from one queue only. In the dead and the unrouted queue, where one may have been found,
/// it would be found again.
fn route_of_task(letter: &DeadLetter, topology: &Topology) -> Result<Route, DeadLetterFault> {
    let found = &letter.letter.source;
    if *found == topology.dead_queue() || *found == topology.unrouted_queue() {
        Ok(topology.route_of_tasks())
    } else {
        route(letter, topology)
    }
}

fn route(letter: &DeadLetter, topology: &Topology) -> Result<Route, DeadLetterFault> {
    let queue = &letter.letter.source;
    topology
        .route_to(queue)
        .ok_or_else(|| DeadLetterFault::ForeignQueue(queue.clone()))
}
