use adtally_store::{DeadLetterState, NewDeadLetter};
use serde_json::json;

use crate::support::{click, impression, store};

const HOUR: &str = "2026-06-01T10:15:00Z";

#[tokio::test]
async fn a_dead_letter_is_kept_to_the_byte_whatever_is_in_it() {
    let store = store();
    let letter = NewDeadLetter {
        body: vec![0, 0xff, b'{', 0x80],
        headers: json!({"x-\u{0}": ["a\u{0}", {"n": 1}]}),
        detail: "NUL \u{0} at 0".to_owned(),
        ..NewDeadLetter::of_event(&impression(HOUR), "not_json", "")
    };
    assert_eq!(
        store
            .store
            .insert_dead_letters(vec![letter.clone()])
            .await
            .unwrap(),
        1
    );
    let kept = store
        .store
        .dead_letters(DeadLetterState::New, 10)
        .await
        .unwrap();
    assert_eq!(kept[0].letter.body, letter.body);
    assert_eq!(
        kept[0].letter.headers,
        json!({"x-\u{fffd}": ["a\u{fffd}", {"n": 1}]})
    );
    assert_eq!(kept[0].letter.detail, "NUL \u{fffd} at 0");
    assert_eq!(kept[0].letter.occurred_at, letter.occurred_at);
}

#[tokio::test]
async fn a_redelivery_adds_none_and_a_requeued_one_that_fails_again_is_new_again() {
    let store = store();
    let letter = NewDeadLetter::of_event(&click(HOUR), "invalid_event", "first");
    let insert = |detail: &str| {
        let detail = detail.to_owned();
        store.store.insert_dead_letters(vec![NewDeadLetter {
            detail,
            ..letter.clone()
        }])
    };
    let in_state = async |state| store.store.dead_letters(state, 10).await.unwrap();
    assert_eq!(insert("first").await.unwrap(), 1);
    assert_eq!(insert("again").await.unwrap(), 0);

    let set = |state| store.store.set_dead_letter_state(letter.id, state);
    assert!(set(DeadLetterState::Requeued).await.unwrap());
    let requeued = in_state(DeadLetterState::Requeued).await;
    assert!(requeued[0].requeued_at.is_some());
    assert_eq!(requeued[0].letter.detail, "first");
    assert_eq!(insert("failed again").await.unwrap(), 1);
    assert_eq!(
        in_state(DeadLetterState::New).await[0].letter.detail,
        "failed again"
    );

    assert!(set(DeadLetterState::Discarded).await.unwrap());
    assert_eq!(
        insert("once more").await.unwrap(),
        0,
        "what was given up stays so"
    );
    assert_eq!(in_state(DeadLetterState::Discarded).await.len(), 1);
    assert!(
        !store
            .store
            .set_dead_letter_state(uuid::Uuid::nil(), DeadLetterState::New)
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn thousands_of_dead_letters_go_in_at_once() {
    let store = store();
    let letters = (0..2_500).map(|_| NewDeadLetter::of_event(&click(HOUR), "too_old", ""));
    let inserted = store
        .store
        .insert_dead_letters(letters.collect())
        .await
        .unwrap();
    assert_eq!(inserted, 2_500);
    let counts = store.store.dead_letter_counts().await.unwrap();
    assert_eq!(counts[0].count, 2_500);
}
