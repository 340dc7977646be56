//! Ids that several processes must make alike, so that work done twice is seen to be the same.

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::Timestamp;

/// The id of the task that belongs to `slot` of the periodic entry named `entry`.
#[must_use]
pub fn slot_task_id(entry: &str, slot: Timestamp) -> Uuid {
    derive("slot", &[entry.as_bytes(), &slot.as_millis().to_be_bytes()])
}

/// The id of the task that the sweep with the task id `sweep` sends for `bucket`, the name of the
/// task and its hour or day.
#[must_use]
pub fn sweep_task_id(sweep: Uuid, bucket: &str) -> Uuid {
    derive("sweep", &[sweep.as_bytes(), bucket.as_bytes()])
}

/// The id of a task whose sender named it `name`, which is no UUID.
#[must_use]
pub fn named_task_id(name: &str) -> Uuid {
    derive("named-task", &[name.as_bytes()])
}

/// The id of the dead letter of the event at `index` of the message `message_id`.
#[must_use]
pub fn event_dead_letter_id(message_id: &str, index: usize) -> Uuid {
    let index = u64::try_from(index).unwrap_or(u64::MAX);
    derive("dead-event", &[message_id.as_bytes(), &index.to_be_bytes()])
}

/// The id of the dead letter of a whole message body that names itself nowhere.
#[must_use]
pub fn body_dead_letter_id(body: &[u8]) -> Uuid {
    derive("dead-body", &[body])
}

/// What the message id of an event that an operator put back begins with.
const REQUEUED: &str = "dead-letter:";

/// The message id of the event that is put back from the dead letter `letter`. It survives every
/// way a message can take, so should the event fail again, it is this letter that is new again.
#[must_use]
pub fn requeued_message_id(letter: Uuid) -> String {
    format!("{REQUEUED}{letter}")
}

/// The dead letter that the event in the message `message_id` was put back from, if it was.
#[must_use]
pub fn requeued_dead_letter_id(message_id: &str) -> Option<Uuid> {
    let letter = message_id.strip_prefix(REQUEUED)?;
    Uuid::try_parse(letter).ok()
}

/// A UUIDv8 over length-prefixed parts, so that no two lists of parts read the same.
fn derive(purpose: &str, parts: &[&[u8]]) -> Uuid {
    let mut hash = Sha256::new();
    for part in std::iter::once(&purpose.as_bytes()).chain(parts) {
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
        hash.update(length.to_be_bytes());
        hash.update(part);
    }
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().zip(hash.finalize()) {
        *to = from;
    }
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_purpose_and_part_gives_its_own_id() {
        let slot = Timestamp::EPOCH;
        let sweep = slot_task_id("sweep-dirty", slot);
        let ids = [
            sweep,
            slot_task_id("sweep-dirty", slot.saturating_add_millis(60_000)),
            slot_task_id("aggregate-last-hour", slot),
            sweep_task_id(sweep, "2026-11-22"),
            sweep_task_id(sweep, "2026-11-23"),
            named_task_id("aggregate-last-hour"),
            event_dead_letter_id("m", 0),
            event_dead_letter_id("m", 1),
            body_dead_letter_id(b"m"),
        ];
        let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
    }

    #[test]
    fn an_event_that_was_put_back_names_its_dead_letter_and_no_other_message_does() {
        let letter = event_dead_letter_id("m", 0);
        let message = requeued_message_id(letter);
        assert_eq!(requeued_dead_letter_id(&message), Some(letter));
        for other in [
            "",
            "m",
            "dead-letter:",
            "dead-letter:m",
            &letter.to_string(),
        ] {
            assert_eq!(requeued_dead_letter_id(other), None, "{other}");
        }
    }

    #[test]
    fn derived_ids_never_change() {
        // Other values would run finished tasks again, and store dead letters twice, after an
        // upgrade. Computed by hand with another SHA-256.
        let slot = slot_task_id("aggregate-last-hour", Timestamp::EPOCH);
        assert_eq!(slot.to_string(), "727ba3cb-5df8-8f82-9bc9-b8efcfb544ba");
        let letter = event_dead_letter_id("m", 1);
        assert_eq!(letter.to_string(), "c28b6ded-269c-8aae-be22-1040144a3eed");
    }
}
