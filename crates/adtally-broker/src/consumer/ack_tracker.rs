//! Which deliveries of a channel are acknowledged, so that one frame can acknowledge many.

use std::collections::BTreeSet;

/// Delivery tags run from 1 without gaps on a channel with one consumer.
#[derive(Debug, Default)]
pub(super) struct AckTracker {
    /// Every tag up to this one is done: acknowledged or requeued.
    watermark: u64,
    /// Tags above the watermark that are done.
    done_above: BTreeSet<u64>,
}

impl AckTracker {
    /// Notes tags whose frames, acks or nacks, are on their way.
    pub(super) fn record(&mut self, tags: impl IntoIterator<Item = u64>) {
        self.done_above
            .extend(tags.into_iter().filter(|tag| *tag > self.watermark));
        while self.done_above.remove(&(self.watermark + 1)) {
            self.watermark += 1;
        }
    }

    /// The highest of `tags` (sorted) that one multiple ack may name. Every tag below is among `tags`
    /// too, or done already.
    pub(super) fn highest_multiple_ack(&self, tags: &[u64]) -> Option<u64> {
        let mut reached = self.watermark;
        let mut highest = None;
        for tag in tags {
            while self.done_above.contains(&(reached + 1)) {
                reached += 1;
            }
            if *tag != reached + 1 {
                break;
            }
            reached = *tag;
            highest = Some(*tag);
        }
        highest
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_an_unbroken_run_from_the_watermark_is_acked_by_one_frame() {
        let mut tracker = AckTracker::default();
        assert_eq!(tracker.highest_multiple_ack(&[1, 2, 3]), Some(3));
        assert_eq!(tracker.highest_multiple_ack(&[1, 3]), Some(1));
        assert_eq!(tracker.highest_multiple_ack(&[2, 3]), None);
        tracker.record([2]);
        assert_eq!(tracker.highest_multiple_ack(&[1, 3, 5]), Some(3));
        tracker.record([1, 3]);
        assert_eq!(tracker.highest_multiple_ack(&[5, 6]), None);
        assert_eq!(tracker.highest_multiple_ack(&[4, 5, 6]), Some(6));
        assert_eq!(tracker.highest_multiple_ack(&[]), None);
    }

    proptest! {
        #[test]
        fn no_other_delivery_is_ever_acked_along(
            done in prop::collection::btree_set(1..40_u64, 0..30),
            wanted in prop::collection::btree_set(1..40_u64, 0..30),
        ) {
            let mut tracker = AckTracker::default();
            tracker.record(done.iter().copied());
            let ours: Vec<_> = wanted.difference(&done).copied().collect();
            if let Some(highest) = tracker.highest_multiple_ack(&ours) {
                prop_assert!(ours.contains(&highest));
                for tag in 1..=highest {
                    prop_assert!(ours.contains(&tag) || done.contains(&tag), "{} of {}", tag, highest);
                }
            }
        }
    }
}
