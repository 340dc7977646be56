//! An event that is stored is in no letter that waits for a decision or was given up.

use adtally_domain::{DeadLetterReason, Event};
use adtally_store::{DeadLetter, DeadLetterState, EventBatch, NewDeadLetter, Requeued, StoreError};
use uuid::Uuid;

use super::store;
use crate::support::{TestStore, click};

const HOUR: &str = "2026-06-01T10:15:00Z";

fn letter_of(event: &Event) -> NewDeadLetter {
    NewDeadLetter::of_event(event, DeadLetterReason::InvalidEvent, "why")
}

async fn keep(store: &TestStore, letters: &[NewDeadLetter]) {
    let inserted = store.store.insert_dead_letters(letters.to_vec()).await;
    assert_eq!(inserted.unwrap(), letters.len() as u64);
}

async fn state(store: &TestStore, id: Uuid) -> (DeadLetterState, bool) {
    let kept = store.store.dead_letter(id).await.unwrap().unwrap();
    (kept.state, kept.requeued_at.is_some())
}

const REQUEUED: (DeadLetterState, bool) = (DeadLetterState::Requeued, true);
const NEW: (DeadLetterState, bool) = (DeadLetterState::New, false);
const DISCARDED: (DeadLetterState, bool) = (DeadLetterState::Discarded, false);

/// Sends a letter whose transaction is then lost.
async fn requeue_in_vain(store: &TestStore, id: Uuid) {
    let sending = |letters: Vec<DeadLetter>| async move {
        store.sql(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity \
             WHERE datname = current_database() AND state = 'idle in transaction'",
        );
        letters.iter().map(|_| Ok::<(), ()>(())).collect()
    };
    let lost: Result<Vec<(Uuid, Requeued<()>)>, StoreError> = store
        .store
        .requeue_dead_letters(vec![id], false, |_| None, sending)
        .await;
    assert!(
        matches!(lost, Err(StoreError::ConnectionLost(_))),
        "{lost:?}"
    );
}

#[tokio::test]
async fn an_event_whose_letter_was_sent_but_never_marked_resolves_it_when_it_is_stored() {
    let (store, event) = (store(), click(HOUR));
    let letter = letter_of(&event);
    keep(&store, std::slice::from_ref(&letter)).await;
    requeue_in_vain(&store, letter.id).await;
    assert_eq!(state(&store, letter.id).await, NEW);
    store.save(vec![event]).await;
    assert_eq!(state(&store, letter.id).await, REQUEUED);
}

#[tokio::test]
async fn a_letter_that_was_sent_and_then_discarded_is_resolved_when_its_event_arrives() {
    let (store, event) = (store(), click(HOUR));
    let letter = letter_of(&event);
    keep(&store, std::slice::from_ref(&letter)).await;
    requeue_in_vain(&store, letter.id).await;
    let discarded = store.store.discard_dead_letters(vec![letter.id]).await;
    discarded.unwrap();
    assert_eq!(state(&store, letter.id).await, DISCARDED);
    store.save(vec![event]).await;
    assert_eq!(state(&store, letter.id).await, REQUEUED);
}

#[tokio::test]
async fn an_event_that_its_sender_sends_again_resolves_all_its_letters_and_no_others() {
    let store = store();
    let events: Vec<Event> = (0..3).map(|_| click(HOUR)).collect();
    let second = NewDeadLetter {
        id: Uuid::from_u128(9),
        ..letter_of(&events[0])
    };
    let letters = [letter_of(&events[0]), second, letter_of(&events[1])];
    keep(&store, &letters).await;
    // The letter in the middle is within the ids of the batch, and its event is not stored.
    let sent = vec![events[2].clone(), events[0].clone()];
    store.save(sent).await;
    for (letter, expected) in letters.iter().zip([REQUEUED, REQUEUED, NEW]) {
        assert_eq!(state(&store, letter.id).await, expected);
    }
}

#[tokio::test]
async fn an_event_that_is_delivered_again_resolves_a_letter_that_was_missed() {
    let (store, event) = (store(), click(HOUR));
    // In one transaction known events are found by the failure of COPY, in the next by looking first.
    for _ in 0..2 {
        store.save(vec![event.clone()]).await;
        let letter = letter_of(&event);
        store.sql("DELETE FROM dead_letters");
        keep(&store, std::slice::from_ref(&letter)).await;
        let stored = store.save(vec![event.clone()]).await;
        assert_eq!((stored.inserted(), stored.duplicates), (0, 1));
        assert_eq!(state(&store, letter.id).await, REQUEUED);
    }
}

#[tokio::test]
async fn a_letter_that_comes_after_its_event_was_stored_is_resolved_at_once() {
    let (store, event) = (store(), click(HOUR));
    let other = click(HOUR);
    store.save(vec![event.clone()]).await;
    let letters = vec![letter_of(&event), letter_of(&other)];
    let batch = EventBatch::new(&[], letters.clone());
    store.store.store_events(store.zone, batch).await.unwrap();
    assert_eq!(state(&store, letters[0].id).await, REQUEUED);
    assert_eq!(state(&store, letters[1].id).await, NEW);
}

#[tokio::test]
async fn exactly_the_letters_of_stored_events_are_resolved_however_many_there_are() {
    let store = store();
    let events: Vec<Event> = (0..900).map(|_| click(HOUR)).collect();
    let letters: Vec<_> = events.iter().map(letter_of).collect();
    keep(&store, &letters).await;
    let sent: Vec<Event> = events.iter().step_by(3).cloned().collect();
    let first = sent[0].id;
    store.save(sent).await;
    let resolved = "SELECT count(*) FROM dead_letters WHERE state = 'requeued'";
    assert_eq!(store.sql(resolved).trim(), "300");
    let wrong = "SELECT count(*) FROM dead_letters FULL JOIN events USING (event_id) \
                 WHERE (kind IS NULL) = (state = 'requeued')";
    assert_eq!(store.sql(wrong).trim(), "0", "{first}");
}

#[tokio::test]
async fn an_event_that_is_refused_gets_no_second_letter() {
    let store = store();
    store.sql("ALTER TABLE events ADD CONSTRAINT short CHECK (length(visitor_id) < 1000)");
    for given_up in [false, true] {
        let event = Event {
            visitor_id: Some("x".repeat(1_000)),
            ..click(HOUR)
        };
        let letter = NewDeadLetter {
            id: Uuid::from_u128(9),
            ..letter_of(&event)
        };
        store.sql("DELETE FROM dead_letters");
        keep(&store, std::slice::from_ref(&letter)).await;
        if given_up {
            let discarded = store.store.discard_dead_letters(vec![letter.id]).await;
            discarded.unwrap();
        }
        let stored = store.save(vec![event]).await;
        assert_eq!((stored.invalid, stored.dead_letters.len()), (1, 0));
        assert_eq!(store.count("dead_letters"), 1);
        let expected = if given_up { DISCARDED } else { NEW };
        assert_eq!(state(&store, letter.id).await, expected);
    }
}

#[tokio::test]
async fn the_migration_resolves_the_letters_of_events_that_were_stored_before() {
    const UP: &str = include_str!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../migrations/2026-11-22-000800_unsettled_dead_letters/up.sql"
    ));
    let store = store();
    let (stored, other) = (click(HOUR), click(HOUR));
    store.save(vec![stored.clone()]).await;
    let letters = [letter_of(&stored), letter_of(&other)];
    keep(&store, &letters).await;
    store.sql("DROP INDEX dead_letters_unsettled");
    store.sql(UP);
    assert_eq!(state(&store, letters[0].id).await, REQUEUED);
    assert_eq!(state(&store, letters[1].id).await, NEW);
}
