//! When a batch is full.

use adtally_broker::PublisherOptions;

use super::batch::MANY;

/// What a batch takes at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Full {
    bytes: usize,
    messages: usize,
}

impl Full {
    /// A batch is full with so many bytes of messages, or with as many messages as full packs make so many
    /// bytes: more are not in hand at one time ([`Full::prefetch`]), and a batch that waits for them would
    /// still grow, unsorted, when its turn comes. As many as are worth a transaction may always come.
    pub(crate) fn of_bytes(bytes: usize) -> Self {
        let full_pack = PublisherOptions::default().pack_bytes;
        Self {
            bytes,
            messages: bytes.div_ceil(full_pack).max(MANY),
        }
    }

    pub(super) const fn is_reached(self, messages: usize, bytes: usize) -> bool {
        messages >= self.messages || bytes >= self.bytes
    }

    /// Messages enough for `at_once` batches that are stored and one that gathers.
    pub(crate) fn prefetch(self, at_once: usize) -> u16 {
        let batches = at_once.saturating_add(1);
        u16::try_from(self.messages.saturating_mul(batches)).unwrap_or(u16::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefetch_is_what_is_stored_and_what_gathers_meanwhile() {
        let full_pack = PublisherOptions::default().pack_bytes;
        let full = Full::of_bytes(100 * full_pack);
        assert_eq!(full.prefetch(1), 200);
        assert_eq!(full.prefetch(3), 400);
        assert_eq!(usize::from(Full::of_bytes(1).prefetch(1)), 2 * MANY);
        assert_eq!(Full::of_bytes(usize::MAX).prefetch(usize::MAX), u16::MAX);
    }

    #[test]
    fn packs_that_end_early_fill_a_batch_before_the_prefetch_ends() {
        let full = Full::of_bytes(8 << 20);
        let pack = PublisherOptions::default().pack_bytes * 9 / 10;
        let count = (1..).find(|count| full.is_reached(*count, count * pack));
        assert!(count.unwrap() * 2 <= usize::from(full.prefetch(1)));
    }

    #[test]
    fn many_small_messages_fill_a_batch_too() {
        let full = Full::of_bytes(1);
        assert!(!full.is_reached(MANY - 1, 0));
        assert!(full.is_reached(MANY, 0));
    }
}
