//! A batch that the database refused.

use std::sync::Arc;

use adtally_store::EventBatch;

/// A batch with which to probe a database that answers but refuses to store, because its disk is full or
/// somebody holds a lock. Its messages are back on their queue meanwhile. Their events are known when they
/// come again.
///
/// Every probe is a smaller part from elsewhere in the batch. So a worker does not wait for ever for a batch
/// that is too much for the database, nor for an item that it cannot store. Once every item had its turn
/// the batch is dropped, and its messages are told apart by how often they come back.
#[derive(Debug)]
pub(crate) struct RefusedBatch {
    batch: Arc<EventBatch>,
    probes: usize,
}

/// Probes of a batch at least, however small it is: each time it is dropped, its messages count as
/// returned once more.
const LEAST_PROBES: usize = 30;

impl RefusedBatch {
    pub(crate) fn new(batch: Arc<EventBatch>) -> Self {
        Self { batch, probes: 0 }
    }

    /// The part to store next, all of it at first; `None` when every item had its turn.
    pub(crate) fn next_probe(&mut self) -> Option<EventBatch> {
        let (events, letters) = (self.batch.len(), &self.batch.dead_letters);
        let items = events + letters.len();
        let halvings = items.checked_ilog2().unwrap_or(0) as usize;
        if self.probes >= LEAST_PROBES.max(items + halvings) {
            return None;
        }
        let mut next = EventBatch::default();
        for index in part(items, self.probes) {
            match index.checked_sub(events) {
                None => {
                    if let Some(event) = self.batch.event(index) {
                        next.push(&event);
                    }
                }
                Some(index) => next.dead_letters.extend(letters.get(index).cloned()),
            }
        }
        self.probes += 1;
        Some(next)
    }
}

/// The indices of a part of `items`: half as many with each of the `probes`, and at least one. Each part
/// begins one item later than the one before.
fn part(items: usize, probes: usize) -> impl Iterator<Item = usize> {
    let halvings = u32::try_from(probes).unwrap_or(u32::MAX);
    let size = items.checked_shr(halvings).unwrap_or(0).max(1).min(items);
    (0..size).map(move |offset| (probes + offset) % items)
}

#[cfg(test)]
mod tests {
    use adtally_domain::{AdId, DeadLetterReason, Event, EventId, EventKind, Timestamp};
    use adtally_store::NewDeadLetter;

    use super::*;

    fn indices(items: usize, probes: usize) -> Vec<usize> {
        part(items, probes).collect()
    }

    #[test]
    fn parts_shrink_to_one_item_and_get_round_to_every_one() {
        assert_eq!(indices(5, 0), [0, 1, 2, 3, 4]);
        assert_eq!(indices(5, 1), [1, 2]);
        assert_eq!(indices(5, 2), [2]);
        let later: Vec<_> = (3..8).flat_map(|probes| indices(5, probes)).collect();
        assert_eq!(later, [3, 4, 0, 1, 2]);
        assert_eq!(indices(5, usize::MAX).len(), 1);
    }

    #[test]
    fn nothing_has_no_parts() {
        assert!(indices(0, 3).is_empty());
    }

    fn event(number: u8) -> Event {
        Event::new(
            EventId::v7(Timestamp::EPOCH, [number; 10]),
            EventKind::Click,
            AdId::new(1).unwrap(),
            Timestamp::EPOCH,
        )
    }

    #[test]
    fn one_bad_letter_does_not_spoil_every_probe_and_the_batch_is_dropped_in_the_end() {
        let events: Vec<Event> = (0..60).map(event).collect();
        let letter = NewDeadLetter::of_event(&event(99), DeadLetterReason::NotAPack, "");
        let batch = EventBatch::new(&events, vec![letter]);
        let mut refused = RefusedBatch::new(Arc::new(batch));
        let parts: Vec<_> = std::iter::from_fn(|| refused.next_probe()).collect();
        assert_eq!(parts.len(), 66);
        let good = parts.iter().find(|part| part.dead_letters.is_empty());
        assert_eq!(good.map(EventBatch::len), Some(30));
        let mut probed: Vec<_> = parts[5..].iter().flat_map(EventBatch::events).collect();
        probed.dedup();
        assert_eq!(probed.len(), 60, "each had a turn of its own");
        assert!(parts[5..].iter().any(EventBatch::is_empty));
    }

    #[test]
    fn a_single_item_is_probed_with_for_some_time() {
        let batch = EventBatch::new(&[event(1)], Vec::new());
        let mut refused = RefusedBatch::new(Arc::new(batch));
        let probes = std::iter::from_fn(|| refused.next_probe());
        assert_eq!(probes.count(), LEAST_PROBES);
    }
}
