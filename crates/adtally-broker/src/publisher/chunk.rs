//! Events of one kind, already written, waiting to share a pack.

use adtally_domain::{Event, EventKind, Timestamp};
use adtally_wire::pack;

use super::PublisherOptions;
use super::handover::Claim;
use super::shipment::Shipment;
use crate::BrokerConfig;

/// Written events that nobody waits for yet.
#[derive(Debug)]
pub(super) struct Draft {
    kind: EventKind,
    /// A pack that is not finished.
    body: Vec<u8>,
    events: usize,
    first_received: Timestamp,
}

/// Written events and the callers who wait for them.
#[derive(Debug)]
pub(super) struct Chunk {
    draft: Draft,
    claims: Vec<Claim>,
}

/// Sorts events by kind into pieces that each fit one pack. With each piece come the places of
/// its events in `events`.
pub(super) fn split(events: &[Event], options: &PublisherOptions) -> Vec<(Draft, Vec<usize>)> {
    let mut pieces = Vec::with_capacity(1);
    for kind in EventKind::ALL {
        let mut open: Option<(Draft, Vec<usize>)> = None;
        for (place, event) in events
            .iter()
            .enumerate()
            .filter(|(_, event)| event.kind == kind)
        {
            if let Some(full) = open.take_if(|(draft, _)| draft.is_full(options)) {
                pieces.push(full);
            }
            let (draft, places) = open.get_or_insert_with(|| (Draft::new(event), Vec::new()));
            pack::append(&mut draft.body, event);
            draft.events += 1;
            places.push(place);
        }
        pieces.extend(open);
    }
    pieces
}

impl Draft {
    fn new(first: &Event) -> Self {
        Self {
            kind: first.kind,
            body: pack::start(first.kind),
            events: 0,
            first_received: first.received_at,
        }
    }

    pub(super) fn kind(&self) -> EventKind {
        self.kind
    }

    /// Bytes of the events. What is around them a pack has once, however many drafts it is made of.
    pub(super) fn bytes(&self) -> usize {
        pack::bytes_of_events(&self.body, self.kind)
    }

    /// A typical event more would be too much. A pack may pass its bound by one event.
    fn is_full(&self, options: &PublisherOptions) -> bool {
        let mean = self.bytes() / self.events.max(1);
        self.events >= options.pack_events || self.bytes() + mean > options.pack_bytes
    }

    pub(super) fn claimed(self, claim: Claim) -> Chunk {
        Chunk {
            draft: self,
            claims: vec![claim],
        }
    }

    /// The pack of these events alone.
    pub(super) fn into_shipment(mut self, config: &BrokerConfig) -> Shipment {
        pack::finish(&mut self.body);
        let exchange = config.topology().events_exchange();
        let random = config.random.ten_bytes();
        let id = uuid::Builder::from_unix_timestamp_millis(
            self.first_received.as_millis().unsigned_abs(),
            &random,
        );
        let pack = Shipment::pack(self.body, self.kind, &exchange, id.into_uuid());
        Shipment {
            events: self.events,
            ..pack
        }
    }
}

impl Chunk {
    pub(super) fn kind(&self) -> EventKind {
        self.draft.kind
    }

    pub(super) fn bytes(&self) -> usize {
        self.draft.bytes()
    }

    /// Whether nobody waits for it. Events of a caller who has given up travel with those of others
    /// who have not: the caller was told that they may.
    pub(super) fn is_abandoned(&self) -> bool {
        self.claims.iter().all(Claim::is_abandoned)
    }

    pub(super) fn into_claims(self) -> Vec<Claim> {
        self.claims
    }

    pub(super) fn events(&self) -> usize {
        self.draft.events
    }

    /// Whether it and `other` fit into that `part` of a pack together: 1 for all of it, 2 for a half.
    pub(super) fn fits_with(&self, other: &Self, part: usize, options: &PublisherOptions) -> bool {
        self.events() + other.events() <= options.pack_events / part
            && self.bytes() + other.bytes() <= options.pack_bytes / part
    }

    /// Makes room for so many bytes of so many chunks more, and for the end.
    pub(super) fn reserve(&mut self, bytes: usize, chunks: usize) {
        self.draft.body.reserve(pack::bytes_of_all(bytes, chunks));
    }

    /// Adds the events of `other`, and who waits for them.
    pub(super) fn absorb(&mut self, other: Self) {
        let kind = self.kind();
        pack::join(&mut self.draft.body, kind, &other.draft.body);
        self.draft.events += other.draft.events;
        self.claims.extend(other.claims);
    }

    /// The pack of all its events, and everybody who waits for it.
    pub(super) fn into_shipment(self, config: &BrokerConfig) -> Shipment {
        let mut shipment = self.draft.into_shipment(config);
        shipment.claims = self.claims;
        shipment
    }
}
