//! A batch the database would not store.

use std::sync::Arc;

use adtally_store::EventBatch;

/// What to try on a database that answers but refuses to store, because its disk is full or
/// somebody holds a lock: the very batch it refused. Its messages are back on their queue meanwhile,
/// and their events are known when they come again.
///
/// Every try is a smaller part from elsewhere in the batch. So neither a batch that is too much for
/// the database nor an event that it cannot take keeps a worker waiting for ever.
#[derive(Debug)]
pub(crate) struct Stalled {
    batch: Arc<EventBatch>,
    tries: u32,
}

impl Stalled {
    pub(crate) fn new(batch: Arc<EventBatch>) -> Self {
        Self { batch, tries: 0 }
    }

    /// The part to try next. All of it at first.
    pub(crate) fn next_part(&mut self) -> EventBatch {
        let part = EventBatch {
            events: part(&self.batch.events, self.tries),
            dead_letters: part(&self.batch.dead_letters, self.tries),
        };
        self.tries = self.tries.saturating_add(1);
        part
    }
}

/// Half as many items with each of the `tries`, and at least one; beginning one further each time.
fn part<T: Clone>(all: &[T], tries: u32) -> Vec<T> {
    let size = all.len().checked_shr(tries).unwrap_or(0).max(1);
    let start = usize::try_from(tries).unwrap_or(0) % all.len().max(1);
    let from_start = all.iter().cycle().skip(start);
    from_start.take(size.min(all.len())).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_shrink_to_one_item_and_get_round_to_every_one() {
        let all = [0, 1, 2, 3, 4];
        assert_eq!(part(&all, 0), all);
        assert_eq!(part(&all, 1), [1, 2]);
        assert_eq!(part(&all, 2), [2]);
        let later: Vec<_> = (3..8).flat_map(|tries| part(&all, tries)).collect();
        assert_eq!(later, [3, 4, 0, 1, 2]);
        assert_eq!(part(&all, u32::MAX).len(), 1);
    }

    #[test]
    fn nothing_has_no_parts() {
        assert!(part::<u8>(&[], 3).is_empty());
    }
}
