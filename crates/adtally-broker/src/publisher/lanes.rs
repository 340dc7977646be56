//! What waits to be sent. Each kind of message has a lane of its own, so that none holds up
//! another: a flood of impressions leaves clicks and tasks alone.

use std::collections::VecDeque;

use adtally_domain::EventKind;

use super::PublisherOptions;
use super::chunk::{Chunk, merge};
use super::handover::{Claim, Command};
use super::shipment::Shipment;
use crate::{BrokerConfig, NotKept};

/// Packs of a lane on their way at which a pack that is not full waits for company.
const FEW_IN_FLIGHT: usize = 2;
/// Messages of a lane on their way at most. More would only wait at the broker instead.
const MOST_IN_FLIGHT: usize = 16;

/// All lanes.
#[derive(Default)]
pub(super) struct Lanes {
    impressions: Lane,
    clicks: Lane,
    single: Lane,
}

#[derive(Default)]
struct Lane {
    /// Events not yet in a pack.
    chunks: VecDeque<Chunk>,
    chunk_bytes: usize,
    /// Finished messages, among them those a lost connection left unconfirmed.
    ready: VecDeque<Shipment>,
    in_flight: usize,
}

impl Lanes {
    fn lane(&mut self, kind: Option<EventKind>) -> &mut Lane {
        match kind {
            Some(EventKind::Impression) => &mut self.impressions,
            Some(EventKind::Click) => &mut self.clicks,
            None => &mut self.single,
        }
    }

    fn all(&mut self) -> [&mut Lane; 3] {
        [&mut self.clicks, &mut self.single, &mut self.impressions]
    }

    pub(super) fn add(&mut self, command: Command) {
        match command {
            Command::Chunk(chunk) => self.lane(Some(chunk.kind())).push(chunk),
            Command::Shipment(shipment) => self.lane(shipment.kind).ready.push_back(*shipment),
        }
    }

    /// The next message that may go now. It counts as in flight until [`Self::landed`].
    pub(super) fn next(
        &mut self,
        options: &PublisherOptions,
        config: &BrokerConfig,
    ) -> Option<Shipment> {
        self.all()
            .into_iter()
            .find_map(|lane| lane.next(options, config))
    }

    pub(super) fn landed(&mut self, kind: Option<EventKind>) {
        let lane = self.lane(kind);
        lane.in_flight = lane.in_flight.saturating_sub(1);
    }

    /// Takes back what was in flight when the connection ended, oldest first.
    pub(super) fn take_back(&mut self, unconfirmed: Vec<Shipment>) {
        for mut shipment in unconfirmed.into_iter().rev() {
            shipment.claims.iter_mut().for_each(Claim::doubt);
            self.lane(shipment.kind).ready.push_front(shipment);
        }
        for lane in self.all() {
            lane.in_flight = 0;
        }
    }

    /// Forgets what nobody waits for any more. Whether nothing is left.
    pub(super) fn sweep(&mut self) -> bool {
        let mut is_empty = true;
        for lane in self.all() {
            lane.sweep();
            is_empty &= lane.chunks.is_empty() && lane.ready.is_empty();
        }
        is_empty
    }

    /// Gives everything that waits the same answer.
    pub(super) fn answer_all(&mut self, result: Result<(), NotKept>) {
        for lane in self.all() {
            for chunk in lane.chunks.drain(..) {
                chunk.into_claim().answer(result);
            }
            lane.chunk_bytes = 0;
            for mut shipment in lane.ready.drain(..) {
                shipment.answer(result);
            }
        }
    }
}

impl Lane {
    fn push(&mut self, chunk: Chunk) {
        self.chunk_bytes += chunk.bytes();
        self.chunks.push_back(chunk);
    }

    fn pop(&mut self) -> Option<Chunk> {
        let chunk = self.chunks.pop_front()?;
        self.chunk_bytes = self.chunk_bytes.saturating_sub(chunk.bytes());
        Some(chunk)
    }

    fn next(&mut self, options: &PublisherOptions, config: &BrokerConfig) -> Option<Shipment> {
        if self.in_flight >= MOST_IN_FLIGHT {
            return None;
        }
        let shipment = self
            .next_ready()
            .or_else(|| self.next_pack(options, config))?;
        self.in_flight += 1;
        Some(shipment)
    }

    fn next_ready(&mut self) -> Option<Shipment> {
        std::iter::from_fn(|| self.ready.pop_front()).find(|shipment| !shipment.is_abandoned())
    }

    fn next_pack(&mut self, options: &PublisherOptions, config: &BrokerConfig) -> Option<Shipment> {
        let has_full_pack =
            self.chunk_bytes >= options.pack_bytes || self.chunks.len() >= options.pack_events;
        if self.in_flight >= FEW_IN_FLIGHT && !has_full_pack {
            return None;
        }
        let first = std::iter::from_fn(|| self.pop()).find(|chunk| !chunk.is_abandoned())?;
        let (mut events, mut bytes) = (first.events(), first.bytes());
        let mut others = Vec::new();
        while let Some(next) = self.chunks.front() {
            if !next.fits(events, bytes, options) {
                break;
            }
            let Some(next) = self.pop() else { break };
            if !next.is_abandoned() {
                events += next.events();
                bytes += next.bytes();
                others.push(next);
            }
        }
        Some(merge(first, others, config))
    }

    fn sweep(&mut self) {
        self.chunks.retain(|chunk| !chunk.is_abandoned());
        self.chunk_bytes = self.chunks.iter().map(Chunk::bytes).sum();
        self.ready.retain(|shipment| !shipment.is_abandoned());
    }
}
