//! Messages that are to be handled alone, until their turn comes.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// How long an isolated message waits for others to arrive, and go first.
const WAIT: Duration = Duration::from_millis(500);

/// Messages that wait until their neighbours are done: should one of them end this worker, nothing else is
/// in its hands any more.
///
/// When one of them ends a worker, all of them come back, counted once more. So they are taken from
/// either end in turn: one life of a worker does those before the culprit, the next those behind it.
#[derive(Debug)]
pub(super) struct IsolationQueue<T> {
    waiting: VecDeque<(T, u64)>,
    due: Option<Instant>,
}

impl<T> IsolationQueue<T> {
    pub(super) const fn new() -> Self {
        Self {
            waiting: VecDeque::new(),
            due: None,
        }
    }

    /// Adds a message that came back so often.
    pub(super) fn push(&mut self, message: T, returns: u64, now: Instant) {
        self.due.get_or_insert(now + WAIT);
        self.waiting.push_back((message, returns));
    }

    /// The next one, if it has waited long enough.
    pub(super) fn pop(&mut self, now: Instant) -> Option<T> {
        if self.due.is_none_or(|due| now < due) {
            return None;
        }
        let forwards = self.waiting.front()?.1.is_multiple_of(2);
        let next = if forwards {
            self.waiting.pop_front()
        } else {
            self.waiting.pop_back()
        };
        if self.waiting.is_empty() {
            self.due = None;
        }
        next.map(|(message, _)| message)
    }

    /// Waits until the next one has waited long enough; for ever when none waits.
    pub(super) async fn until_due(&self) {
        match self.due {
            Some(due) => tokio::time::sleep_until(due).await,
            None => std::future::pending().await,
        }
    }

    /// All that wait.
    pub(super) fn into_all(self) -> impl Iterator<Item = T> {
        self.waiting.into_iter().map(|(message, _)| message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_wait_for_each_other_and_are_taken_from_either_end_in_turn() {
        let start = Instant::now();
        for (returns, order) in [(4, [1, 2, 3]), (5, [3, 2, 1])] {
            let mut isolated = IsolationQueue::new();
            for message in [1, 2, 3] {
                isolated.push(message, returns, start);
            }
            assert_eq!(isolated.pop(start), None);
            let taken = std::iter::from_fn(|| isolated.pop(start + WAIT));
            assert_eq!(taken.collect::<Vec<_>>(), order);
            assert_eq!(isolated.due, None);
        }
    }
}
