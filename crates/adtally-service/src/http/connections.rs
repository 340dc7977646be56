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

/// How many are evicted at a time, so that not each newcomer looks through all: a 32nd of the limit.
const EVICTED_SHARE: usize = 32;

/// How many more than the limit there may be, reserved for networks below their share: an 8th of it.
const RESERVED_SHARE: usize = 8;

/// What is counted of the connections of all threads. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct ConnectionMetrics {
    limit: i64,
    open: IntGauge,
    closed: IntCounterVec,
    /// Shows in `/readyz` that all are taken.
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
    slots: HashMap<u64, Rc<Slot>>,
    networks: HashMap<ClientNetwork, usize>,
    last: u64,
}

/// One of the connections. Dropping it frees its slot.
#[derive(Debug)]
pub(super) struct ConnectionGuard {
    connections: Connections,
    slot: Rc<Slot>,
}

/// Tells a connection which of its requests were answered.
#[derive(Debug, Clone)]
pub(super) struct RequestTracker {
    connections: Connections,
    slot: Rc<Slot>,
}

/// What others may see of a connection.
#[derive(Debug)]
struct Slot {
    number: u64,
    network: ClientNetwork,
    /// Complete requests that were not answered yet.
    requests: Cell<u64>,
    /// When it last became idle, by the clock of all.
    idle_since: Cell<u64>,
    /// It was not read from yet, so a request may have come with it.
    is_new: Cell<bool>,
    is_closed: Cell<bool>,
    /// Its connection is to be woken when it becomes idle.
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
pub(super) const fn max_connections(limit: usize) -> usize {
    limit + limit.div_ceil(RESERVED_SHARE)
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

    /// A slot for a connection of `network`; `None` when it is to be closed at once.
    pub(super) fn acquire(&self, network: ClientNetwork) -> Option<ConnectionGuard> {
        let shared = &self.0;
        let mut table = shared.table.borrow_mut();
        if table.slots.len() >= shared.limit {
            let closed = table.evict_idle(shared.limit);
            shared.metrics.closed("idle", closed.len());
            shared.metrics.gone(closed.len());
            let has_room = table.has_reserved(network, shared.limit) || table.has_new();
            if closed.is_empty() && !has_room {
                shared.metrics.closed("refused", 1);
                return None;
            }
            closed.iter().for_each(|slot| slot.close());
        }
        shared.metrics.opened();
        let slot = table.add(network, self.now());
        drop(table);
        Some(ConnectionGuard {
            connections: self.clone(),
            slot,
        })
    }

    fn now(&self) -> u64 {
        let now = self.0.clock.get() + 1;
        self.0.clock.set(now);
        now
    }
}

impl Table {
    fn add(&mut self, network: ClientNetwork, now: u64) -> Rc<Slot> {
        self.last += 1;
        let slot = Rc::new(Slot {
            number: self.last,
            network,
            requests: Cell::new(0),
            idle_since: Cell::new(now),
            is_new: Cell::new(true),
            is_closed: Cell::new(false),
            is_awaited: Cell::new(false),
            waker: RefCell::default(),
        });
        self.slots.insert(slot.number, Rc::clone(&slot));
        *self.networks.entry(network).or_default() += 1;
        slot
    }

    fn remove(&mut self, slot: &Slot) -> bool {
        if self.slots.remove(&slot.number).is_none() {
            return false;
        }
        if let Some(count) = self.networks.get_mut(&slot.network) {
            *count -= 1;
            if *count == 0 {
                self.networks.remove(&slot.network);
            }
        }
        true
    }

    /// What each network may have when all want more.
    fn share(&self, networks: usize, limit: usize) -> usize {
        (limit / networks.max(1)).max(1)
    }

    /// Whether `network` may have one of those beyond the limit.
    fn has_reserved(&self, network: ClientNetwork, limit: usize) -> bool {
        let held = self.networks.get(&network).copied().unwrap_or_default();
        let networks = self.networks.len() + usize::from(held == 0);
        self.slots.len() < max_connections(limit) && held < self.share(networks, limit)
    }

    /// Whether some were not read from yet. Then there are more than the limit for a moment.
    fn has_new(&self) -> bool {
        self.slots.values().any(|slot| slot.is_new.get())
    }

    /// Removes some idle ones of networks that have their share or more, the longest idle first.
    fn evict_idle(&mut self, limit: usize) -> Vec<Rc<Slot>> {
        let share = self.share(self.networks.len(), limit);
        let has_share = |slot: &Rc<Slot>| {
            let held = self.networks.get(&slot.network);
            held.is_some_and(|held| *held >= share)
        };
        let idle = self.slots.values().filter(|slot| slot.is_idle());
        let mut idle: Vec<_> = idle.filter(|slot| has_share(slot)).cloned().collect();
        idle.sort_unstable_by_key(|slot| slot.idle_since.get());
        idle.truncate(limit.div_ceil(EVICTED_SHARE));
        idle.retain(|slot| self.remove(slot));
        idle
    }
}

impl ConnectionGuard {
    /// Tells it which requests were answered.
    pub(super) fn tracker(&self) -> RequestTracker {
        RequestTracker {
            connections: self.connections.clone(),
            slot: Rc::clone(&self.slot),
        }
    }

    /// So many more complete requests arrived.
    pub(super) fn add_requests(&self, more: u64) {
        self.slot.requests.set(self.slot.requests.get() + more);
    }

    /// Whether all requests that arrived were answered.
    pub(super) fn is_idle(&self) -> bool {
        self.slot.requests.get() == 0
    }

    /// Whether it was evicted, and is to be closed.
    pub(super) fn is_closed(&self) -> bool {
        self.slot.is_closed.get()
    }

    /// Has `waker` called when it is to be closed. Nothing is there to be read.
    pub(super) fn wake_on_close(&self, waker: &Waker) {
        self.slot.is_new.set(false);
        let mut current = self.slot.waker.borrow_mut();
        match &mut *current {
            Some(current) => current.clone_from(waker),
            None => *current = Some(waker.clone()),
        }
    }

    /// Has `waker` called as well when all requests that arrived were answered.
    pub(super) fn wake_on_idle(&self, waker: &Waker) {
        self.wake_on_close(waker);
        self.slot.is_awaited.set(true);
    }
}

impl RequestTracker {
    /// A request was answered.
    pub(super) fn answered(&self) {
        let left = self.slot.requests.get().saturating_sub(1);
        self.slot.requests.set(left);
        if left == 0 {
            self.slot.idle_since.set(self.connections.now());
            if self.slot.is_awaited.get() {
                self.slot.wake();
            }
        }
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        let shared = &self.connections.0;
        if shared.table.borrow_mut().remove(&self.slot) {
            shared.metrics.gone(1);
        }
    }
}

impl Slot {
    /// Whether it waits for its client.
    fn is_idle(&self) -> bool {
        self.requests.get() == 0 && !self.is_new.get()
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
