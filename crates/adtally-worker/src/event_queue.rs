//! The queues that may hold events, and how much of each is taken at a time.

use adtally_broker::{PublisherOptions, Topology};

/// Messages or bytes that are worth a transaction at any time.
pub(crate) const MANY: usize = 32;
const MUCH: usize = 1024 * 1024;

/// Bytes of a full batch of impressions, some 54,000 events: each batch also costs the database a commit,
/// two small statements and what COPY sets up, however many events are in it.
const IMPRESSIONS_BYTES: usize = 6_656 * 1024;
/// The same of all other queues. Clicks are few, and what two busy queues take in memory adds up.
const OTHERS_BYTES: usize = 512 * 1024;
/// The dead and unrouted queues are short or something is wrong; there is no hurry.
const DEAD_LETTER_PREFETCH: u16 = 20;

/// What the broker does with a message of a queue that it gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum QueueRole {
    /// Impressions, clicks: it goes to the dead-letter queue.
    Live,
    /// The dead and the unrouted queue: nothing stands behind them, so it is lost.
    DeadLetter,
}

/// A queue that may hold events, and how it is consumed.
#[derive(Debug)]
pub(crate) struct EventQueue {
    pub(crate) name: String,
    pub(crate) role: QueueRole,
    pub(crate) limits: BatchLimits,
    /// How many of its batches are stored at the same time.
    pub(crate) concurrency: usize,
    /// A backlog of it is [throttled](crate::cpu_throttle).
    pub(crate) yields_cpu: bool,
}

impl EventQueue {
    /// All of them. The batches of each live queue are stored over `store_connections`. Only a backlog of
    /// impressions may be asked to `yield_cpu`: clicks are money, and wait for nobody.
    pub(crate) fn all(topology: &Topology, store_connections: usize, yield_cpu: bool) -> [Self; 4] {
        let queue = |name, role, bytes| Self {
            name,
            role,
            limits: BatchLimits::of_bytes(bytes),
            concurrency: match role {
                QueueRole::Live => store_connections,
                QueueRole::DeadLetter => 1,
            },
            yields_cpu: false,
        };
        let (live, dead_letter) = (QueueRole::Live, QueueRole::DeadLetter);
        [
            queue(topology.clicks_queue(), live, OTHERS_BYTES),
            Self {
                // More than one connection is a wish for speed.
                yields_cpu: yield_cpu && store_connections == 1,
                ..queue(topology.impressions_queue(), live, IMPRESSIONS_BYTES)
            },
            queue(topology.unrouted_queue(), dead_letter, OTHERS_BYTES),
            queue(topology.dead_queue(), dead_letter, OTHERS_BYTES),
        ]
    }

    /// How many of its messages may be in hand: enough for the batches that are stored and one that grows.
    pub(crate) fn prefetch(&self) -> u16 {
        match self.role {
            QueueRole::Live => self.limits.prefetch(self.concurrency),
            QueueRole::DeadLetter => DEAD_LETTER_PREFETCH,
        }
    }
}

/// What a batch holds at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchLimits {
    bytes: usize,
    messages: usize,
}

impl BatchLimits {
    /// A batch is full with so many bytes of messages, or with as many messages as full packs need for that.
    /// More are not in hand at one time ([`EventQueue::prefetch`]): a batch that waits for them would still
    /// grow, unsorted, when its turn comes. As many as are worth a transaction always fit.
    pub(crate) fn of_bytes(bytes: usize) -> Self {
        let full_pack = PublisherOptions::default().pack_bytes;
        Self {
            bytes,
            messages: bytes.div_ceil(full_pack).max(MANY),
        }
    }

    /// Whether a batch takes no more.
    pub(crate) const fn is_reached(self, messages: usize, bytes: usize) -> bool {
        messages >= self.messages || bytes >= self.bytes
    }

    /// Whether a batch is worth a transaction of its own, even if more may come soon.
    pub(crate) const fn is_worthwhile(self, messages: usize, bytes: usize) -> bool {
        messages >= MANY || bytes >= MUCH || self.is_reached(messages, bytes)
    }

    fn prefetch(self, concurrency: usize) -> u16 {
        let batches = concurrency.saturating_add(1);
        u16::try_from(self.messages.saturating_mul(batches)).unwrap_or(u16::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_impressions_over_one_connection_yield_and_only_when_asked_to() {
        let topology = Topology::new("t").unwrap();
        for (store_connections, yield_cpu, expected) in [
            (1, true, &["t.impressions"][..]),
            (1, false, &[]),
            (2, true, &[]),
        ] {
            let queues = EventQueue::all(&topology, store_connections, yield_cpu);
            let yielding = queues.into_iter().filter(|queue| queue.yields_cpu);
            let names: Vec<_> = yielding.map(|queue| queue.name).collect();
            assert_eq!(names, expected);
        }
    }

    #[test]
    fn the_prefetch_is_what_is_stored_and_what_grows_meanwhile() {
        let full_pack = PublisherOptions::default().pack_bytes;
        let limits = BatchLimits::of_bytes(100 * full_pack);
        assert_eq!(limits.prefetch(1), 200);
        assert_eq!(limits.prefetch(3), 400);
        assert_eq!(usize::from(BatchLimits::of_bytes(1).prefetch(1)), 2 * MANY);
        let unbounded = BatchLimits::of_bytes(usize::MAX);
        assert_eq!(unbounded.prefetch(usize::MAX), u16::MAX);
    }

    #[test]
    fn packs_that_end_early_fill_a_batch_before_the_prefetch_ends() {
        let limits = BatchLimits::of_bytes(8 << 20);
        let pack = PublisherOptions::default().pack_bytes * 9 / 10;
        let count = (1..).find(|count| limits.is_reached(*count, count * pack));
        assert!(count.unwrap() * 2 <= usize::from(limits.prefetch(1)));
    }

    #[test]
    fn many_small_messages_fill_a_batch_too() {
        let limits = BatchLimits::of_bytes(1);
        assert!(!limits.is_reached(MANY - 1, 0));
        assert!(limits.is_reached(MANY, 0));
    }
}
