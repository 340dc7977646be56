//! Messages that came back too often: perhaps an event in them ends every worker that touches it.

use std::collections::VecDeque;
use std::time::Duration;

use adtally_broker::Delivery;
use tokio::time::Instant;

/// From this many returns on, a message is handled alone, so that its neighbours do not share its
/// fate.
const ALONE_FROM: u64 = 3;
/// From this many on, it was alone when it came back: its pack is split.
const SPLIT_FROM: u64 = 4;
/// From this many on, a single event goes to the dead queue. An outage returns a message once to
/// each worker, so it takes several of them, or one event that ends workers, to get here.
const SET_ASIDE_FROM: u64 = 10;
/// From this many on, what came back to a queue with nothing behind it does not go back to it any more.
const LAST_TRY: u64 = 8;
/// From this many on, the last try ended the worker: so the event is kept as a dead letter.
const BURY_FROM: u64 = 9;
/// From this many on, what came back to such a queue is sent again before anything else is done with it:
/// RabbitMQ 4 drops what came back twenty times to a queue that was made without a limit of its own, and
/// a worker that is killed returns all it holds. Whoever got here was never tried alone at its turn.
const RENEW_FROM: u64 = 10;

/// Where to send a message that came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Suspicion {
    /// Nowhere: it is handled here.
    None,
    /// Its pack is replaced by its halves.
    Split,
    /// To the dead queue.
    SetAside,
}

/// How long a message under suspicion waits for others to arrive, and go first.
const GATHER: Duration = Duration::from_millis(500);

/// Whether `delivery` must be handled alone.
pub(super) fn is_suspect(delivery: &Delivery) -> bool {
    delivery.delivery_count >= ALONE_FROM
}

/// Messages under suspicion that wait until their neighbours are done: should one of them end this
/// worker, nothing else is in its hands any more.
///
/// They all come back together, and one more time counted, when one of them ends a worker. So they
/// are taken from either end in turn: whatever stands before the culprit is done in one life of a
/// worker, whatever stands behind it in the next.
#[derive(Debug)]
pub(super) struct Suspects<T> {
    waiting: VecDeque<(T, u64)>,
    due: Option<Instant>,
}

impl<T> Suspects<T> {
    pub(super) fn new() -> Self {
        Self {
            waiting: VecDeque::new(),
            due: None,
        }
    }

    /// Has one wait that came back so often.
    pub(super) fn hold(&mut self, message: T, returns: u64, now: Instant) {
        self.due.get_or_insert(now + GATHER);
        self.waiting.push_back((message, returns));
    }

    /// The next one, if it has waited long enough.
    pub(super) fn next(&mut self, now: Instant) -> Option<T> {
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

/// Where to send a message with so many `entries` that came back so often; `is_last` says that it is in
/// a queue with nothing behind it.
pub(super) fn judge(returns: u64, entries: usize, is_last: bool) -> Suspicion {
    if returns < SPLIT_FROM {
        Suspicion::None
    } else if entries > 1 {
        Suspicion::Split
    } else if returns >= SET_ASIDE_FROM && !is_last {
        Suspicion::SetAside
    } else {
        Suspicion::None
    }
}

/// Whether what came back so often is a dead letter without another try, all of it if it could not be
/// split.
pub(super) fn is_not_to_try(returns: u64, is_last: bool) -> bool {
    is_last && returns >= BURY_FROM
}

/// Whether what came back so often is to be sent again at once, whatever else there is to do.
pub(super) fn is_to_renew(returns: u64, is_last: bool) -> bool {
    is_last && returns >= RENEW_FROM
}

/// Whether what came back so often must not go back once more.
pub(super) fn is_not_to_return(returns: u64, is_last: bool) -> bool {
    is_last && returns >= LAST_TRY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suspects_wait_for_each_other_and_are_taken_from_either_end_in_turn() {
        let start = Instant::now();
        for (returns, order) in [(4, [1, 2, 3]), (5, [3, 2, 1])] {
            let mut suspects = Suspects::new();
            for message in [1, 2, 3] {
                suspects.hold(message, returns, start);
            }
            assert_eq!(suspects.next(start), None);
            let taken = std::iter::from_fn(|| suspects.next(start + GATHER));
            assert_eq!(taken.collect::<Vec<_>>(), order);
            assert_eq!(suspects.due, None);
        }
    }

    #[test]
    fn only_a_pack_that_came_back_alone_is_split_and_only_a_single_event_is_set_aside() {
        assert_eq!(judge(3, 500, false), Suspicion::None);
        assert_eq!(judge(4, 500, false), Suspicion::Split);
        assert_eq!(judge(40, 2, false), Suspicion::Split);
        assert_eq!(judge(9, 1, false), Suspicion::None);
        assert_eq!(judge(10, 1, false), Suspicion::SetAside);
        assert_eq!(judge(10, 0, false), Suspicion::SetAside);
    }

    #[test]
    fn what_comes_back_to_the_last_queue_is_kept_long_before_the_broker_drops_it() {
        assert_eq!(judge(8, 2, true), Suspicion::Split);
        assert_eq!(judge(9, 1, true), Suspicion::None);
        assert_eq!(judge(40, 1, false), Suspicion::SetAside);
        for (returns, is_last, returned, tried, renewed) in [
            (7, true, true, true, false),
            (8, true, false, true, false),
            (9, true, false, false, false),
            (10, true, false, false, true),
            (40, false, true, true, false),
        ] {
            assert_eq!(is_not_to_return(returns, is_last), !returned, "{returns}");
            assert_eq!(is_not_to_try(returns, is_last), !tried, "{returns}");
            assert_eq!(is_to_renew(returns, is_last), renewed, "{returns}");
        }
    }
}
