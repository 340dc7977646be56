//! Messages that came back too often: perhaps an event in them ends every worker that touches it.

use adtally_broker::Delivery;

/// From this many returns on, a message is handled alone, so that its neighbours do not share its
/// fate.
const ALONE_FROM: u64 = 3;
/// From this many on, it was alone when it came back: its pack is split.
const SPLIT_FROM: u64 = 4;
/// From this many on, a single event goes to the dead queue. An outage returns a message once to
/// each worker, so it takes several of them, or one event that ends workers, to get here.
const SET_ASIDE_FROM: u64 = 10;
/// From this many on, what came back to the dead queue does not go back to it any more: nothing stands
/// behind that queue, and RabbitMQ 4 drops what it delivered twenty times.
const LAST_TRY: u64 = 18;
/// From this many on, the last try ended the worker: so the event is kept as a dead letter.
const BURY_FROM: u64 = 19;

/// What to do with a message that came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Suspicion {
    /// Store what is in it.
    None,
    /// Replace the pack by its halves.
    Split,
    /// Send it to the dead queue.
    SetAside,
    /// Store what is in it; should the database not take it, send it again as if it had never come
    /// back.
    LastTry,
    /// Keep it as a dead letter; should the database not take it, send it again likewise.
    Bury,
}

/// Whether `delivery` must be handled alone.
pub(super) fn is_suspect(delivery: &Delivery) -> bool {
    delivery.delivery_count >= ALONE_FROM
}

/// What to do with a message with so many `entries` that came back so often; `is_last` says that
/// it is in a queue with nothing behind it.
pub(super) fn judge(returns: u64, entries: usize, is_last: bool) -> Suspicion {
    if returns < SPLIT_FROM {
        Suspicion::None
    } else if entries > 1 {
        Suspicion::Split
    } else if returns >= BURY_FROM && is_last {
        Suspicion::Bury
    } else if returns >= LAST_TRY && is_last {
        Suspicion::LastTry
    } else if returns >= SET_ASIDE_FROM && !is_last {
        Suspicion::SetAside
    } else {
        Suspicion::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn what_comes_back_to_the_last_queue_is_kept_before_the_broker_drops_it() {
        assert_eq!(judge(17, 1, true), Suspicion::None);
        assert_eq!(judge(18, 1, true), Suspicion::LastTry);
        assert_eq!(judge(19, 1, true), Suspicion::Bury);
        assert_eq!(judge(18, 2, true), Suspicion::Split);
        assert_eq!(judge(40, 1, false), Suspicion::SetAside);
    }
}
