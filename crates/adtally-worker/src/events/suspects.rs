//! Messages that came back too often: perhaps an event in them ends every worker that touches it.

use adtally_broker::Delivery;
use adtally_broker::pack::{self, PackError};
use adtally_store::NewDeadLetter;

use super::batch::Batch;
use super::letters::letter_of_message;

/// From this many returns on, a message is handled alone, so that its neighbours do not share its
/// fate.
const ALONE_FROM: u64 = 3;
/// From this many on, it was alone when it came back: its pack is split.
const SPLIT_FROM: u64 = 4;
/// From this many on, a single event is given up. An outage returns a message once, so it takes
/// many of them, or one event that ends workers, to get here.
const BURY_FROM: u64 = 10;

/// What to do with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Suspicion {
    /// Store it.
    None,
    /// Replace the pack by its halves.
    Split,
    /// Send the message to the dead queue.
    Bury,
}

/// Whether `delivery` must be handled alone.
pub(super) fn is_suspect(delivery: &Delivery) -> bool {
    delivery.delivery_count >= ALONE_FROM
}

/// What to do with `batch`, by how often its only message came back.
pub(super) fn suspicion(batch: &Batch) -> Suspicion {
    let [delivery] = batch.deliveries.as_slice() else {
        return Suspicion::None;
    };
    if delivery.delivery_count < SPLIT_FROM {
        return Suspicion::None;
    }
    match pack::decode(&delivery.body) {
        Ok(entries) => judge(delivery.delivery_count, entries.len()),
        Err(PackError::NotAPack(_)) => judge(delivery.delivery_count, 0),
        // It only waits for a newer worker, and each that is too old returns it.
        Err(PackError::NewerVersion(_)) => Suspicion::None,
    }
}

/// The dead letter of a message whose single event is given up.
pub(super) fn letter_of_suspect(delivery: &Delivery) -> NewDeadLetter {
    const REASON: &str = "delivery_limit";
    let detail = format!(
        "no worker could finish it in {} deliveries",
        delivery.delivery_count
    );
    match pack::decode(&delivery.body).ok().as_deref() {
        Some([Ok(event)]) => NewDeadLetter::of_event(event, REASON, detail),
        _ => letter_of_message(delivery, REASON, &detail),
    }
}

fn judge(returns: u64, events: usize) -> Suspicion {
    if returns < SPLIT_FROM {
        Suspicion::None
    } else if events > 1 {
        Suspicion::Split
    } else if returns >= BURY_FROM {
        Suspicion::Bury
    } else {
        Suspicion::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_pack_that_came_back_alone_is_split_and_only_a_single_event_is_given_up() {
        assert_eq!(judge(3, 500), Suspicion::None);
        assert_eq!(judge(4, 500), Suspicion::Split);
        assert_eq!(judge(40, 2), Suspicion::Split);
        assert_eq!(judge(9, 1), Suspicion::None);
        assert_eq!(judge(10, 1), Suspicion::Bury);
    }
}
