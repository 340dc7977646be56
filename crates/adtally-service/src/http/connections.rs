//! The connections of one HTTP thread, shared between networks of clients.
//!
//! While there are few, anybody may have any number. Once all are taken, those that wait for nothing but
//! their client are closed for newcomers: of networks that have more than their share, the longest idle
//! first. Where all of them are at work, a network that has less than its share still gets some more.

#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::task::Waker;

use prometheus::{IntCounterVec, IntGauge};

use crate::metrics::Registry;
use crate::{Check, ClientNetwork};

/// How many are closed at a time, so that not each newcomer looks through all: a 32nd part of the limit.
const AT_A_TIME: usize = 32;

/// How many more than the limit there may be for networks below their share: an 8th part of it.
const KEPT: usize = 8;

/// What is counted of the connections of all threads. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct ConnectionMetrics {
    limit: i64,
    open: IntGauge,
    closed: IntCounterVec,
    /// Told when all are taken.
    check: Option<Check>,
}

/// The connections of one thread. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Connections(Rc<Shared>);

#[derive(Debug)]
struct Shared {
    limit: usize,
    table: RefCell<Table>,
    /// Counts whatever happens to any of them.
    clock: Cell<u64>,
    metrics: ConnectionMetrics,
}

#[derive(Debug, Default)]
struct Table {
    seats: HashMap<u64, Rc<Seat>>,
    networks: HashMap<ClientNetwork, usize>,
    last: u64,
}

/// One of the connections, until it is dropped.
#[derive(Debug)]
pub(super) struct Held {
    connections: Connections,
    seat: Rc<Seat>,
}

/// Tells what a connection is doing.
#[derive(Debug, Clone)]
pub(super) struct Work {
    connections: Connections,
    seat: Rc<Seat>,
}

/// What others may see of a connection.
#[derive(Debug)]
struct Seat {
    number: u64,
    network: ClientNetwork,
    /// Complete requests that were not answered yet.
    requests: Cell<u64>,
    /// When it last became idle, by the clock of all.
    idle_since: Cell<u64>,
    /// Nobody has looked yet whether a request came with it.
    is_fresh: Cell<bool>,
    is_closed: Cell<bool>,
    /// Its connection is to be told when it becomes idle.
    is_awaited: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl ConnectionMetrics {
    /// Registers the metrics; `limit` is that of all threads. While all are taken, `check` has a remark.
    pub(super) fn new(registry: &Registry, limit: usize, check: Option<Check>) -> Self {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let all = registry.int_gauge(
            "adtally_http_connections_limit",
            "Connections beyond which idle ones are closed for newcomers.",
        );
        all.set(limit);
        let closed = registry.counter_vec(
            "adtally_http_connections_closed_total",
            "Connections closed because all were taken: idle ones, and newcomers that found none.",
            &["reason"],
        );
        for reason in ["idle", "refused"] {
            closed.with_label_values(&[reason]);
        }
        if let Some(check) = &check {
            check.ready();
        }
        Self {
            limit,
            open: registry.int_gauge("adtally_http_connections", "Open connections."),
            closed,
            check,
        }
    }

    fn opened(&self) {
        self.open.inc();
        if let Some(check) = &self.check
            && self.open.get() == self.limit
        {
            check.ready_but("all connections are taken, idle ones make room (--max-connections)");
        }
    }

    fn gone(&self, count: usize) {
        let before = self.open.get();
        self.open.sub(i64::try_from(count).unwrap_or(i64::MAX));
        if let Some(check) = &self.check
            && before >= self.limit
            && self.open.get() < self.limit
        {
            check.ready();
        }
    }

    fn closed(&self, reason: &str, count: usize) {
        let counter = self.closed.with_label_values(&[reason]);
        counter.inc_by(count as u64);
    }
}

/// The most connections of a thread whose limit is `limit`.
pub(super) const fn at_most(limit: usize) -> usize {
    limit + limit.div_ceil(KEPT)
}

impl Connections {
    /// None yet, and not many more than `limit` ever.
    pub(super) fn new(limit: usize, metrics: ConnectionMetrics) -> Self {
        Self(Rc::new(Shared {
            limit,
            table: RefCell::default(),
            clock: Cell::default(),
            metrics,
        }))
    }

    /// A place for a connection of `network`; `None` when it is to be closed at once.
    pub(super) fn admit(&self, network: ClientNetwork) -> Option<Held> {
        let shared = &self.0;
        let mut table = shared.table.borrow_mut();
        if table.seats.len() >= shared.limit {
            let closed = table.close_idle(shared.limit);
            shared.metrics.closed("idle", closed.len());
            shared.metrics.gone(closed.len());
            let has_room = table.has_kept(network, shared.limit) || table.has_fresh();
            if closed.is_empty() && !has_room {
                shared.metrics.closed("refused", 1);
                return None;
            }
            closed.iter().for_each(|seat| seat.close());
        }
        shared.metrics.opened();
        let seat = table.add(network, self.now());
        drop(table);
        Some(Held {
            connections: self.clone(),
            seat,
        })
    }

    fn now(&self) -> u64 {
        let now = self.0.clock.get() + 1;
        self.0.clock.set(now);
        now
    }
}

impl Table {
    fn add(&mut self, network: ClientNetwork, now: u64) -> Rc<Seat> {
        self.last += 1;
        let seat = Rc::new(Seat {
            number: self.last,
            network,
            requests: Cell::new(0),
            idle_since: Cell::new(now),
            is_fresh: Cell::new(true),
            is_closed: Cell::new(false),
            is_awaited: Cell::new(false),
            waker: RefCell::default(),
        });
        self.seats.insert(seat.number, Rc::clone(&seat));
        *self.networks.entry(network).or_default() += 1;
        seat
    }

    fn remove(&mut self, seat: &Seat) -> bool {
        if self.seats.remove(&seat.number).is_none() {
            return false;
        }
        if let Some(count) = self.networks.get_mut(&seat.network) {
            *count -= 1;
            if *count == 0 {
                self.networks.remove(&seat.network);
            }
        }
        true
    }

    /// What each network may have when all want more.
    fn share(&self, networks: usize, limit: usize) -> usize {
        (limit / networks.max(1)).max(1)
    }

    /// Whether `network` may have one of those beyond the limit.
    fn has_kept(&self, network: ClientNetwork, limit: usize) -> bool {
        let held = self.networks.get(&network).copied().unwrap_or_default();
        let networks = self.networks.len() + usize::from(held == 0);
        self.seats.len() < at_most(limit) && held < self.share(networks, limit)
    }

    /// Whether some are about to be looked at. Then there are more than the limit for a moment.
    fn has_fresh(&self) -> bool {
        self.seats.values().any(|seat| seat.is_fresh.get())
    }

    /// Takes out some idle ones of networks that have their share or more.
    fn close_idle(&mut self, limit: usize) -> Vec<Rc<Seat>> {
        let share = self.share(self.networks.len(), limit);
        let has_share = |seat: &Rc<Seat>| {
            let held = self.networks.get(&seat.network);
            held.is_some_and(|held| *held >= share)
        };
        let idle = self.seats.values().filter(|seat| seat.is_idle());
        let mut idle: Vec<_> = idle.filter(|seat| has_share(seat)).cloned().collect();
        idle.sort_unstable_by_key(|seat| seat.idle_since.get());
        idle.truncate(limit.div_ceil(AT_A_TIME));
        idle.retain(|seat| self.remove(seat));
        idle
    }
}

impl Held {
    /// What tells of its requests.
    pub(super) fn work(&self) -> Work {
        Work {
            connections: self.connections.clone(),
            seat: Rc::clone(&self.seat),
        }
    }

    /// So many more complete requests arrived.
    pub(super) fn requested(&self, more: u64) {
        self.seat.requests.set(self.seat.requests.get() + more);
    }

    /// Whether all requests that arrived were answered.
    pub(super) fn is_idle(&self) -> bool {
        self.seat.requests.get() == 0
    }

    /// Whether it is to be closed, its place being another's.
    pub(super) fn is_closed(&self) -> bool {
        self.seat.is_closed.get()
    }

    /// Has `waker` called when it is to be closed. Nothing is there to be read.
    pub(super) fn wait(&self, waker: &Waker) {
        self.seat.is_fresh.set(false);
        let mut kept = self.seat.waker.borrow_mut();
        match &mut *kept {
            Some(kept) => kept.clone_from(waker),
            None => *kept = Some(waker.clone()),
        }
    }

    /// Has `waker` called as well when all requests that arrived were answered.
    pub(super) fn wait_until_idle(&self, waker: &Waker) {
        self.wait(waker);
        self.seat.is_awaited.set(true);
    }
}

impl Work {
    /// A request was answered.
    pub(super) fn answered(&self) {
        let left = self.seat.requests.get().saturating_sub(1);
        self.seat.requests.set(left);
        if left == 0 {
            self.seat.idle_since.set(self.connections.now());
            if self.seat.is_awaited.get() {
                self.seat.wake();
            }
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let shared = &self.connections.0;
        if shared.table.borrow_mut().remove(&self.seat) {
            shared.metrics.gone(1);
        }
    }
}

impl Seat {
    /// Whether it waits for its client.
    fn is_idle(&self) -> bool {
        self.requests.get() == 0 && !self.is_fresh.get()
    }

    fn close(&self) {
        self.is_closed.set(true);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}
