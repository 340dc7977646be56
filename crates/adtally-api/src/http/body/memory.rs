//! The memory of request bodies, and of what is made of them until they are answered.
//!
//! It has two parts. A body of at most [`SMALL`] bytes reserves from the small part, which large bodies
//! leave alone, and from the large part when the small one is used up.
//!
//! Of the large part, one network of clients may hold at most [`ALPHA`] times what is left. A single network
//! may hold nearly all. The more others hold, the less each may, until all have the same: the dynamic
//! threshold of a switch whose ports share one buffer (Choudhury and Hahne, 1998).

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use adtally_service::ClientNetwork;
use adtally_service::metrics::Registry;
use prometheus::{GaugeVec, IntCounterVec};

use crate::http::problem::{Problem, ProblemCode};

/// What is reserved beyond a body's bytes. So a request of one event need not reserve more when its event
/// replaces the body.
pub(crate) const HEADROOM: usize = 1_024;

/// What a small body holds at most, in bytes.
pub(crate) const SMALL: usize = 64 * 1_024 + HEADROOM;

/// The part of all memory that is kept for small bodies: a quarter.
const SMALL_PART: usize = 4;

/// With less left than so many small bodies need, hardly anybody is served.
const FEW: usize = 4;

/// How many times what is left one network may hold of the large part.
const ALPHA: usize = 8;

/// All memory for bodies. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct BodyMemory(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    small_limit: usize,
    small_used: AtomicUsize,
    large_limit: usize,
    large: Mutex<Large>,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct Large {
    used: usize,
    held: HashMap<ClientNetwork, usize>,
}

#[derive(Debug)]
struct Metrics {
    used: GaugeVec,
    refused: IntCounterVec,
}

/// Why a body is refused, as the metric names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// All memory is in use.
    Memory,
    /// The client's network has its share.
    Share,
    /// It comes too slowly, or not at all.
    Slow,
}

impl Refusal {
    const ALL: [Self; 3] = [Self::Memory, Self::Share, Self::Slow];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Share => "share",
            Self::Slow => "slow",
        }
    }
}

/// The memory of one request, released when it is dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    memory: BodyMemory,
    network: ClientNetwork,
    small: usize,
    large: usize,
}

impl BodyMemory {
    /// Memory of `limit` bytes.
    pub(crate) fn new(limit: usize, registry: &Registry) -> Self {
        let small_limit = limit / SMALL_PART;
        let large_limit = limit - small_limit;
        let limits = registry.gauge_vec(
            "adtally_body_memory_limit_bytes",
            "What bodies, and the events made of them, may hold; a part is kept for small ones.",
            &["part"],
        );
        for (part, bytes) in [("small", small_limit), ("large", large_limit)] {
            limits.with_label_values(&[part]).set(bytes as f64);
        }
        let metrics = Metrics {
            used: registry.gauge_vec(
                "adtally_body_memory_bytes",
                "What bodies, and the events made of them, hold.",
                &["part"],
            ),
            refused: registry.counter_vec(
                "adtally_bodies_refused_total",
                "Bodies given up: no memory, the client's share of it is used up, or too slow.",
                &["reason"],
            ),
        };
        for refusal in Refusal::ALL {
            metrics.refused.with_label_values(&[refusal.as_str()]);
        }
        let memory = Self(Arc::new(Parts {
            small_limit,
            small_used: AtomicUsize::new(0),
            large_limit,
            large: Mutex::default(),
            metrics,
        }));
        memory.refresh();
        memory
    }

    /// An empty reservation for a client of `network`.
    pub(crate) fn reserve(&self, network: ClientNetwork) -> Reservation {
        Reservation {
            memory: self.clone(),
            network,
            small: 0,
            large: 0,
        }
    }

    /// Counts a body that is given up.
    pub(crate) fn count_refused(&self, refusal: Refusal) {
        let counter = &self.0.metrics.refused;
        counter.with_label_values(&[refusal.as_str()]).inc();
    }

    /// Writes what is in use into the metrics.
    pub(crate) fn refresh(&self) {
        let used = &self.0.metrics.used;
        used.with_label_values(&["small"])
            .set(self.0.small_used.load(Ordering::Relaxed) as f64);
        used.with_label_values(&["large"])
            .set(self.0.large().used as f64);
    }

    /// What `/readyz` says of it; `None` while there is enough.
    pub(crate) fn shortage(&self) -> Option<Shortage> {
        let small_left = self.0.small_limit - self.0.small_used.load(Ordering::Relaxed);
        let large_left = self.0.large_limit - self.0.large().used;
        let is_scarce = |left: usize, limit: usize| left < limit / 16;
        if small_left.max(large_left) < FEW * SMALL {
            Some(Shortage::All)
        } else if !is_scarce(large_left, self.0.large_limit) {
            None
        } else if is_scarce(small_left, self.0.small_limit) {
            Some(Shortage::Most)
        } else {
            Some(Shortage::Large)
        }
    }

    #[cfg(test)]
    pub(crate) fn used(&self) -> usize {
        self.0.small_used.load(Ordering::Relaxed) + self.0.large().used
    }
}

/// What there is too little memory for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shortage {
    /// Large bodies only.
    Large,
    /// All bodies of those who hold much already.
    Most,
    /// All bodies of all clients.
    All,
}

impl Parts {
    fn large(&self) -> MutexGuard<'_, Large> {
        // Nothing in here panics between two changes that belong together.
        self.large.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reserve_small(&self, bytes: usize) -> bool {
        let room = |used: usize| {
            used.checked_add(bytes)
                .filter(|used| *used <= self.small_limit)
        };
        self.small_used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, room)
            .is_ok()
    }

    fn release_small(&self, bytes: usize) {
        self.small_used.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn reserve_large(&self, network: ClientNetwork, bytes: usize) -> Result<(), Refusal> {
        let mut large = self.large();
        let used = large.used.saturating_add(bytes);
        let left = self.large_limit.checked_sub(used).ok_or(Refusal::Memory)?;
        let held = large.held.get(&network).copied().unwrap_or_default() + bytes;
        if held > left.saturating_mul(ALPHA) {
            return Err(Refusal::Share);
        }
        large.used = used;
        large.held.insert(network, held);
        Ok(())
    }

    fn release_large(&self, network: ClientNetwork, bytes: usize) {
        let mut large = self.large();
        large.used -= bytes;
        if let Some(held) = large.held.get_mut(&network) {
            *held -= bytes;
            if *held == 0 {
                large.held.remove(&network);
            }
        }
    }
}

impl Reservation {
    /// Grows to at least `bytes` in all.
    ///
    /// # Errors
    /// [`ProblemCode::Overloaded`] when there is no memory for them, or the network of this client
    /// holds its share; what was reserved stays so.
    pub(crate) fn grow_to(&mut self, bytes: usize) -> Result<(), Problem> {
        let more = bytes.saturating_sub(self.small + self.large);
        if more == 0 {
            return Ok(());
        }
        let parts = &self.memory.0;
        if self.large == 0 && bytes <= SMALL && parts.reserve_small(more) {
            self.small += more;
            return Ok(());
        }
        // It moves as a whole: the small part holds no beginning of a large body.
        let moved = more.saturating_add(self.small);
        if let Err(refusal) = parts.reserve_large(self.network, moved) {
            self.memory.count_refused(refusal);
            let detail = "too many requests are being read or kept; try again soon";
            return Err(Problem::new(ProblemCode::Overloaded, detail));
        }
        self.large += moved;
        parts.release_small(std::mem::take(&mut self.small));
        Ok(())
    }

    /// Releases what it holds beyond `bytes`.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        let parts = &self.memory.0;
        let (small, large) = (self.small.min(bytes), self.large.min(bytes));
        if small < self.small {
            parts.release_small(self.small - small);
        }
        if large < self.large {
            parts.release_large(self.network, self.large - large);
        }
        (self.small, self.large) = (small, large);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}
