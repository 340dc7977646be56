//! What waits to be sent. Each kind of message has a lane of its own, so that none holds up
//! another: a flood of impressions leaves clicks and tasks alone.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::PublisherOptions;
use super::chunk::Chunk;
use super::company::Company;
use super::handover::{Claim, Command, answer_all};
use super::per_lane::PerLane;
use super::shipment::Shipment;
use crate::{BrokerConfig, NotKept};

/// Messages of a lane on their way at most. More would only wait at the broker instead.
const MOST_IN_FLIGHT: usize = 16;

/// How long a round holds up the next one at most. A queue that is refused, or answers late, must
/// not keep the other kinds waiting; one that does well is confirmed long before.
const PATIENCE: Duration = Duration::from_millis(20);

/// All lanes.
///
/// Packs that are not full leave in rounds: the next round waits until all packs of the one before
/// have landed, and then a moment for the next events of those who were just answered. The broker
/// writes to its disk in turns, and a round of all lanes shares one. A lane whose pack takes longer
/// than [`PATIENCE`] is late: until it lands, rounds leave without it and do not wait for it.
#[derive(Default)]
pub(super) struct Lanes {
    lanes: PerLane<Lane>,
    /// When the last round left.
    departed: Option<Instant>,
    /// Some of the last round have landed.
    is_landing: bool,
    /// Whom the next round waits for once the last one has landed.
    company: Company,
}

/// What the publisher waits for before it looks again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wait {
    /// It waits no longer than that.
    pub(super) until: Option<Instant>,
    /// So many more events end it; `None` if only a full pack does.
    pub(super) events: Option<usize>,
}

#[derive(Default)]
struct Lane {
    /// Events not yet in a pack.
    chunks: VecDeque<Chunk>,
    chunk_bytes: usize,
    chunk_events: usize,
    /// Finished messages, among them those a lost connection left unconfirmed.
    ready: VecDeque<Shipment>,
    in_flight: usize,
    /// Those of them that left with a round. The lane joins no other round before they land.
    of_round: usize,
    /// The events in those.
    round_events: usize,
    /// A round has left without this lane.
    is_late: bool,
    /// Events that were on their way or waited when the first pack of the round landed, until it is
    /// known how many the next round waits for.
    around: usize,
}

impl Lanes {
    pub(super) fn add(&mut self, command: Command) {
        let lane = self.lanes.of_mut(command.kind());
        match command {
            Command::Chunk(chunk) => lane.push(chunk),
            Command::Shipment(shipment) => lane.ready.push_back(*shipment),
        }
    }

    /// What the next round waits for, if it does: before, only full packs and finished messages go.
    pub(super) fn wait(&self, now: Instant) -> Wait {
        if let Some(until) = self.is_out_until(now) {
            return Wait {
                until: Some(until),
                events: None,
            };
        }
        match self.company.missing(self.waiting_events(), now) {
            Some((events, until)) => Wait {
                until: Some(until),
                events: Some(events),
            },
            None => Wait {
                until: None,
                events: Some(1),
            },
        }
    }

    /// Until when the last round is waited for, if it is.
    fn is_out_until(&self, now: Instant) -> Option<Instant> {
        let is_out = self.lanes.all().into_iter().any(Lane::is_awaited);
        let end = self.departed.filter(|_| is_out)? + PATIENCE;
        Some(end).filter(|end| now < *end)
    }

    /// Events that could leave with the next round.
    fn waiting_events(&self) -> usize {
        let lanes = self.lanes.all().into_iter();
        let joining = lanes.filter(|lane| lane.may_join());
        joining.map(|lane| lane.chunk_events).sum()
    }

    /// Whether the next round may leave now.
    fn is_round_due(&mut self, now: Instant) -> bool {
        if self.is_out_until(now).is_some() {
            return false;
        }
        let waiting = self.waiting_events();
        let lanes = self.lanes.all_mut().into_iter();
        let joining = lanes.filter(|lane| lane.may_join());
        let around = joining.map(|lane| std::mem::take(&mut lane.around)).sum();
        let flight = self.departed.map_or(Duration::ZERO, |left| now - left);
        self.company.expect(around, waiting, flight, now);
        if self.company.missing(waiting, now).is_some() {
            return false;
        }
        self.company.leave(waiting);
        true
    }

    /// The messages that may go now. They count as in flight until [`Self::landed`].
    pub(super) fn depart(
        &mut self,
        options: &PublisherOptions,
        config: &BrokerConfig,
        now: Instant,
    ) -> Vec<Shipment> {
        let is_round = self.is_round_due(now);
        let mut departing = Vec::new();
        for lane in self.lanes.all_mut() {
            let joins = is_round && lane.may_join();
            lane.is_late |= is_round && !joins;
            departing.extend(std::iter::from_fn(|| lane.next(options, config, joins)));
        }
        if departing.iter().any(|shipment| shipment.is_of_round) {
            self.departed = Some(now);
            self.is_landing = false;
        }
        departing
    }

    /// A message has landed. Everything that was handed over before must have been [added](Self::add),
    /// and its callers must not be answered yet: that tells them from those who come again.
    pub(super) fn landed(&mut self, shipment: &Shipment) {
        if shipment.is_of_round && !std::mem::replace(&mut self.is_landing, true) {
            for lane in self.lanes.all_mut() {
                lane.around = lane.round_events + lane.chunk_events;
            }
        }
        let lane = self.lanes.of_mut(shipment.kind);
        lane.in_flight = lane.in_flight.saturating_sub(1);
        if shipment.is_of_round {
            lane.of_round = lane.of_round.saturating_sub(1);
        }
        if lane.may_join() {
            lane.round_events = 0;
            lane.is_late = false;
        }
    }

    /// Takes back what was in flight when the connection ended, oldest first.
    pub(super) fn take_back(&mut self, unconfirmed: Vec<Shipment>) {
        for mut shipment in unconfirmed.into_iter().rev() {
            shipment.is_of_round = false;
            shipment.claims.iter_mut().for_each(Claim::doubt);
            self.lanes.of_mut(shipment.kind).ready.push_front(shipment);
        }
        self.company.forget();
        for lane in self.lanes.all_mut() {
            lane.nothing_is_out();
        }
    }

    /// Forgets what nobody waits for any more. Whether nothing is left.
    pub(super) fn sweep(&mut self) -> bool {
        let mut is_empty = true;
        for lane in self.lanes.all_mut() {
            lane.sweep();
            is_empty &= lane.chunks.is_empty() && lane.ready.is_empty();
        }
        is_empty
    }

    /// Gives everything that waits the same answer.
    pub(super) fn answer_all(&mut self, result: Result<(), NotKept>) {
        for lane in self.lanes.all_mut() {
            for chunk in lane.chunks.drain(..) {
                answer_all(chunk.into_claims(), result);
            }
            lane.chunk_bytes = 0;
            lane.chunk_events = 0;
            for mut shipment in lane.ready.drain(..) {
                shipment.answer(result);
            }
        }
    }
}

impl Lane {
    /// Whether the next round may take it along.
    fn may_join(&self) -> bool {
        self.of_round == 0
    }

    /// Whether the next round waits for it.
    fn is_awaited(&self) -> bool {
        !self.may_join() && !self.is_late
    }

    /// What was on its way is lost with its connection.
    fn nothing_is_out(&mut self) {
        self.in_flight = 0;
        self.of_round = 0;
        self.round_events = 0;
        self.is_late = false;
        self.around = 0;
    }

    fn push(&mut self, chunk: Chunk) {
        self.chunk_bytes += chunk.bytes();
        self.chunk_events += chunk.events();
        self.chunks.push_back(chunk);
    }

    fn pop(&mut self) -> Option<Chunk> {
        let chunk = self.chunks.pop_front()?;
        self.chunk_bytes = self.chunk_bytes.saturating_sub(chunk.bytes());
        self.chunk_events = self.chunk_events.saturating_sub(chunk.events());
        Some(chunk)
    }

    fn next(
        &mut self,
        options: &PublisherOptions,
        config: &BrokerConfig,
        joins: bool,
    ) -> Option<Shipment> {
        if self.in_flight >= MOST_IN_FLIGHT {
            return None;
        }
        let shipment = self
            .next_ready()
            .or_else(|| self.next_pack(options, config, joins))?;
        self.in_flight += 1;
        Some(shipment)
    }

    fn next_ready(&mut self) -> Option<Shipment> {
        std::iter::from_fn(|| self.ready.pop_front()).find(|shipment| !shipment.is_abandoned())
    }

    fn next_pack(
        &mut self,
        options: &PublisherOptions,
        config: &BrokerConfig,
        joins: bool,
    ) -> Option<Shipment> {
        let has_full_pack = options.is_full_pack(self.chunk_bytes, self.chunk_events);
        if !joins && !has_full_pack {
            return None;
        }
        let mut pack = std::iter::from_fn(|| self.pop()).find(|chunk| !chunk.is_abandoned())?;
        let room = options.pack_bytes.saturating_sub(pack.bytes());
        pack.reserve(self.chunk_bytes.min(room), self.chunks.len());
        while let Some(next) = self.chunks.front() {
            if !pack.fits_with(next, 1, options) {
                break;
            }
            let Some(next) = self.pop() else { break };
            if !next.is_abandoned() {
                pack.absorb(next);
            }
        }
        let events = pack.events();
        let mut shipment = pack.into_shipment(config);
        shipment.is_of_round = !has_full_pack;
        if shipment.is_of_round {
            self.of_round += 1;
            self.round_events += events;
        }
        Some(shipment)
    }

    fn sweep(&mut self) {
        self.chunks.retain(|chunk| !chunk.is_abandoned());
        self.chunk_bytes = self.chunks.iter().map(Chunk::bytes).sum();
        self.chunk_events = self.chunks.iter().map(Chunk::events).sum();
        self.ready.retain(|shipment| !shipment.is_abandoned());
    }
}
