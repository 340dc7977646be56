//! Which deliveries of a channel are settled, so that many can be acknowledged by one frame.

use std::collections::BTreeSet;

/// Delivery tags run from 1 without gaps on a channel with one consumer.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Every tag up to this one is settled.
    floor: u64,
    /// Settled tags above the floor.
    beyond: BTreeSet<u64>,
}

impl Ledger {
    /// Records tags whose settling frames are on their way.
    pub(super) fn settle(&mut self, tags: impl IntoIterator<Item = u64>) {
        self.beyond
            .extend(tags.into_iter().filter(|tag| *tag > self.floor));
        while self.beyond.remove(&(self.floor + 1)) {
            self.floor += 1;
        }
    }

    /// The highest of `tags` (sorted) that may be acknowledged together with everything below it,
    /// because everything below is in `tags` too or settled already.
    pub(super) fn coverable(&self, tags: &[u64]) -> Option<u64> {
        let mut reached = self.floor;
        let mut covered = None;
        for tag in tags {
            while self.beyond.contains(&(reached + 1)) {
                reached += 1;
            }
            if *tag != reached + 1 {
                break;
            }
            reached = *tag;
            covered = Some(*tag);
        }
        covered
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_an_unbroken_run_from_the_bottom_is_covered() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.coverable(&[1, 2, 3]), Some(3));
        assert_eq!(ledger.coverable(&[1, 3]), Some(1));
        assert_eq!(ledger.coverable(&[2, 3]), None);
        ledger.settle([2]);
        assert_eq!(ledger.coverable(&[1, 3, 5]), Some(3));
        ledger.settle([1, 3]);
        assert_eq!(ledger.coverable(&[5, 6]), None);
        assert_eq!(ledger.coverable(&[4, 5, 6]), Some(6));
        assert_eq!(ledger.coverable(&[]), None);
    }

    proptest! {
        #[test]
        fn no_unsettled_foreign_delivery_is_ever_covered(
            settled in prop::collection::btree_set(1..40_u64, 0..30),
            wanted in prop::collection::btree_set(1..40_u64, 0..30),
        ) {
            let mut ledger = Ledger::default();
            ledger.settle(settled.iter().copied());
            let ours: Vec<_> = wanted.difference(&settled).copied().collect();
            if let Some(highest) = ledger.coverable(&ours) {
                prop_assert!(ours.contains(&highest));
                for tag in 1..=highest {
                    prop_assert!(ours.contains(&tag) || settled.contains(&tag), "{} of {}", tag, highest);
                }
            }
        }
    }
}
