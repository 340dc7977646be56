//! A batch the database would not store.

use std::sync::Arc;

use adtally_store::EventBatch;

/// What to try on a database that answers but refuses to store, because its disk is full or
/// somebody holds a lock: the very batch it refused. Its messages are back on their queue meanwhile,
/// and their events are known when they come again.
///
/// Every try is a smaller part from elsewhere in the batch. So neither a batch that is too much for
/// the database nor an item that it cannot take keeps a worker waiting for ever: once every item had
/// its turn the batch is let go, and its messages are told apart by how often they come back.
#[derive(Debug)]
pub(crate) struct Stalled {
    batch: Arc<EventBatch>,
    tries: usize,
}

/// Tries of a batch at least, however small it is: each time it is let go, its messages count as
/// returned once more.
const LEAST_TRIES: usize = 30;

impl Stalled {
    pub(crate) fn new(batch: Arc<EventBatch>) -> Self {
        Self { batch, tries: 0 }
    }

    /// The part to try next, all of it at first; `None` when every item had its turn.
    pub(crate) fn next_part(&mut self) -> Option<EventBatch> {
        let (events, letters) = (self.batch.len(), &self.batch.dead_letters);
        let items = events + letters.len();
        let halvings = items.checked_ilog2().unwrap_or(0) as usize;
        if self.tries >= LEAST_TRIES.max(items + halvings) {
            return None;
        }
        let mut next = EventBatch::default();
        for place in part(items, self.tries) {
            match place.checked_sub(events) {
                None => {
                    if let Some(event) = self.batch.event(place) {
                        next.push(&event);
                    }
                }
                Some(place) => next.dead_letters.extend(letters.get(place).cloned()),
            }
        }
        self.tries += 1;
        Some(next)
    }
}

/// The places of half as many of `items` with each of the `tries`, and at least one; beginning one
/// further each time.
fn part(items: usize, tries: usize) -> impl Iterator<Item = usize> {
    let halvings = u32::try_from(tries).unwrap_or(u32::MAX);
    let size = items.checked_shr(halvings).unwrap_or(0).max(1).min(items);
    (0..size).map(move |place| (tries + place) % items)
}

#[cfg(test)]
mod tests {
    use adtally_domain::{AdId, Event, EventId, EventKind, Timestamp};
    use adtally_store::NewDeadLetter;

    use super::*;

    fn places(items: usize, tries: usize) -> Vec<usize> {
        part(items, tries).collect()
    }

    #[test]
    fn parts_shrink_to_one_item_and_get_round_to_every_one() {
        assert_eq!(places(5, 0), [0, 1, 2, 3, 4]);
        assert_eq!(places(5, 1), [1, 2]);
        assert_eq!(places(5, 2), [2]);
        let later: Vec<_> = (3..8).flat_map(|tries| places(5, tries)).collect();
        assert_eq!(later, [3, 4, 0, 1, 2]);
        assert_eq!(places(5, usize::MAX).len(), 1);
    }

    #[test]
    fn nothing_has_no_parts() {
        assert!(places(0, 3).is_empty());
    }

    fn event(number: u8) -> Event {
        Event {
            id: EventId::v7(Timestamp::EPOCH, [number; 10]),
            kind: EventKind::Click,
            ad_id: AdId::new(1).unwrap(),
            received_at: Timestamp::EPOCH,
            impression_id: None,
            ip: None,
            visitor_id: None,
            user_agent: None,
            referer: None,
            placement: None,
            source: None,
        }
    }

    #[test]
    fn one_bad_letter_does_not_spoil_every_try_and_the_batch_is_let_go_in_the_end() {
        let events: Vec<Event> = (0..60).map(event).collect();
        let letter = NewDeadLetter::of_event(&event(99), "not_a_pack", "");
        let batch = EventBatch::new(&events, vec![letter]);
        let mut stalled = Stalled::new(Arc::new(batch));
        let parts: Vec<_> = std::iter::from_fn(|| stalled.next_part()).collect();
        assert_eq!(parts.len(), 66);
        let good = parts.iter().find(|part| part.dead_letters.is_empty());
        assert_eq!(good.map(EventBatch::len), Some(30));
        let mut tried: Vec<_> = parts[5..].iter().flat_map(EventBatch::events).collect();
        tried.dedup();
        assert_eq!(tried.len(), 60, "each had a turn of its own");
        assert!(parts[5..].iter().any(EventBatch::is_empty));
    }

    #[test]
    fn a_single_item_is_tried_for_some_time() {
        let batch = EventBatch::new(&[event(1)], Vec::new());
        let mut stalled = Stalled::new(Arc::new(batch));
        let tries = std::iter::from_fn(|| stalled.next_part());
        assert_eq!(tries.count(), LEAST_TRIES);
    }
}
