//! Messages that came back too often: perhaps an event in them ends every worker that reads it.
//!
//! An outage returns a message once to each worker, so it takes several outages, or an event that ends
//! workers, to come back often. [`PoisonPolicy::decide`] is the whole policy. Which part of a
//! [refused batch](crate::refused_batch) is tried next is not in it: that depends on no message.

use crate::event_queue::QueueRole;

/// What is known of a message when it is decided on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It was delivered, and is not read yet.
    Delivered,
    /// It is a pack of a version that this worker cannot read.
    Unsupported,
    /// It was read alone: so many events and other entries.
    Alone { entries: usize },
    /// The broker did not take what should replace it.
    NotPublished,
    /// The database did not store it.
    NotStored,
    /// The worker cancels its subscription.
    Unsubscribing,
}

/// What to do with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Store it here.
    Store,
    /// Handle it alone, after its neighbours.
    Isolate,
    /// Publish its halves instead, to find the event that ends workers.
    Split,
    /// Publish it to the dead queue.
    ToDeadQueue,
    /// Keep its events as dead letters, without another try.
    ToDeadLetters,
    /// Publish it again as if it had never come back.
    Republish,
    /// Hold it for a while, then publish it again: a newer worker may take it.
    Park,
    /// Return it to its queue, which counts as one more return.
    Requeue,
}

/// What to do with the messages of a queue of this role.
#[derive(Debug, Clone, Copy)]
pub(super) struct PoisonPolicy(pub(super) QueueRole);

impl PoisonPolicy {
    /// What to do with a message that came back so often. The first row that fits counts.
    pub(super) const fn decide(self, stage: Stage, returns: u64) -> Action {
        use QueueRole::{DeadLetter, Live};
        match (stage, self.0, returns) {
            // Before anything else: RabbitMQ 4 drops what came back twenty times to a queue that was made
            // without a limit of its own, and a worker that is killed returns all it holds.
            (Stage::Delivered, DeadLetter, 10..) => Action::Republish,
            // Its neighbours shall not share its fate.
            (Stage::Delivered, _, 3..) => Action::Isolate,
            (Stage::Delivered, _, _) => Action::Store,

            // Long before the broker drops it.
            (Stage::Unsupported, _, 10..) => Action::Republish,
            (Stage::Unsupported, _, _) => Action::Park,

            // It was alone when it came back.
            (Stage::Alone { entries: 2.. }, _, 4..) => Action::Split,
            // It takes several workers, or one event that ends them, to get here.
            (Stage::Alone { .. }, Live, 10..) => Action::ToDeadQueue,
            // Its last try ended the worker.
            (Stage::Alone { .. } | Stage::NotPublished, DeadLetter, 9..) => Action::ToDeadLetters,
            (Stage::Alone { .. } | Stage::NotPublished, _, _) => Action::Store,

            // It must not come back once more: that the database does not store it may be no fault of its own.
            (Stage::NotStored, DeadLetter, 8..) => Action::Republish,
            // Outages alone must not make it look like poison.
            (Stage::Unsubscribing, DeadLetter, 3..) => Action::Republish,
            (Stage::NotStored | Stage::Unsubscribing, _, _) => Action::Requeue,
        }
    }
}

#[cfg(test)]
mod tests {
    use QueueRole::{DeadLetter, Live};

    use super::*;

    #[test]
    fn what_came_back_too_often_is_told_apart_before_the_broker_drops_it() {
        const SINGLE: Stage = Stage::Alone { entries: 1 };
        const SEVERAL: Stage = Stage::Alone { entries: 500 };
        for (stage, queue, expected) in [
            (
                Stage::Delivered,
                Live,
                &[(0, Action::Store), (3, Action::Isolate)][..],
            ),
            (
                Stage::Delivered,
                DeadLetter,
                &[
                    (0, Action::Store),
                    (3, Action::Isolate),
                    (10, Action::Republish),
                ],
            ),
            (
                Stage::Unsupported,
                Live,
                &[(0, Action::Park), (10, Action::Republish)],
            ),
            (
                Stage::Unsupported,
                DeadLetter,
                &[(0, Action::Park), (10, Action::Republish)],
            ),
            (SEVERAL, Live, &[(0, Action::Store), (4, Action::Split)]),
            (
                SEVERAL,
                DeadLetter,
                &[(0, Action::Store), (4, Action::Split)],
            ),
            (
                SINGLE,
                Live,
                &[(0, Action::Store), (10, Action::ToDeadQueue)],
            ),
            (
                SINGLE,
                DeadLetter,
                &[(0, Action::Store), (9, Action::ToDeadLetters)],
            ),
            (Stage::NotPublished, Live, &[(0, Action::Store)]),
            (
                Stage::NotPublished,
                DeadLetter,
                &[(0, Action::Store), (9, Action::ToDeadLetters)],
            ),
            (Stage::NotStored, Live, &[(0, Action::Requeue)]),
            (
                Stage::NotStored,
                DeadLetter,
                &[(0, Action::Requeue), (8, Action::Republish)],
            ),
            (Stage::Unsubscribing, Live, &[(0, Action::Requeue)]),
            (
                Stage::Unsubscribing,
                DeadLetter,
                &[(0, Action::Requeue), (3, Action::Republish)],
            ),
        ] {
            for returns in 0..60 {
                let row = expected.iter().rev().find(|(from, _)| *from <= returns);
                let action = PoisonPolicy(queue).decide(stage, returns);
                let expected = row.map(|(_, action)| *action);
                assert_eq!(Some(action), expected, "{stage:?} {queue:?} {returns}");
            }
        }
        for (entries, expected) in [(0, Action::ToDeadQueue), (2, Action::Split)] {
            let action = PoisonPolicy(Live).decide(Stage::Alone { entries }, 10);
            assert_eq!(action, expected, "{entries}");
        }
    }
}
