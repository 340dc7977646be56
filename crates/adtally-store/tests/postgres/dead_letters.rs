use adtally_domain::DeadLetterReason;
use adtally_store::{
    DeadLetterFilter, DeadLetterState, DeadLetterSummary, Discarded, NewDeadLetter,
};
use serde_json::json;
use uuid::Uuid;

use crate::support::{TestStore, ad, at, click, impression, store};

const HOUR: &str = "2026-06-01T10:15:00Z";

async fn insert(store: &TestStore, letters: &[NewDeadLetter]) -> u64 {
    let inserted = store.store.insert_dead_letters(letters.to_vec()).await;
    inserted.unwrap()
}

async fn listed(store: &TestStore, filter: DeadLetterFilter) -> Vec<DeadLetterSummary> {
    let page = store.store.dead_letters(filter, None, 100).await.unwrap();
    page.letters
}

#[tokio::test]
async fn a_dead_letter_is_kept_to_the_byte_whatever_is_in_it() {
    let store = store();
    let letter = NewDeadLetter {
        body: vec![0, 0xff, b'{', 0x80],
        headers: json!({"x-\u{0}": ["a\u{0}", {"n": 1}]}),
        detail: "NUL \u{0} at 0".to_owned(),
        ..NewDeadLetter::of_event(&impression(HOUR), DeadLetterReason::InvalidEvent, "")
    };
    assert_eq!(insert(&store, std::slice::from_ref(&letter)).await, 1);
    let kept = store.store.dead_letter(letter.id).await.unwrap().unwrap();
    assert_eq!(kept.letter.body, letter.body);
    assert_eq!(
        kept.letter.headers,
        json!({"x-\u{fffd}": ["a\u{fffd}", {"n": 1}]})
    );
    assert_eq!(kept.letter.detail, "NUL \u{fffd} at 0");
    assert!(kept.is_event());
    assert_eq!(kept.letter.occurred_at, letter.occurred_at);
    assert_eq!(kept.state, DeadLetterState::New);
    assert_eq!(store.store.dead_letter(Uuid::nil()).await.unwrap(), None);
}

#[tokio::test]
async fn a_reason_that_another_build_knows_is_kept_in_its_words() {
    let store = store();
    let letter = NewDeadLetter::of_event(&click(HOUR), DeadLetterReason::TooOld, "");
    insert(&store, std::slice::from_ref(&letter)).await;
    store.sql("UPDATE dead_letters SET reason = 'of a later build'");
    let kept = store.store.dead_letter(letter.id).await.unwrap().unwrap();
    assert_eq!(kept.letter.reason, "of a later build");
    assert!(!kept.is_event());
}

#[tokio::test]
async fn a_redelivery_adds_none_and_what_was_given_up_stays_so() {
    let store = store();
    let letter = NewDeadLetter::of_event(&click(HOUR), DeadLetterReason::InvalidEvent, "first");
    let again = NewDeadLetter {
        detail: "again".to_owned(),
        ..letter.clone()
    };
    assert_eq!(insert(&store, &[letter.clone(), again.clone()]).await, 1);
    assert_eq!(insert(&store, std::slice::from_ref(&again)).await, 0);
    let all = DeadLetterFilter::default();
    assert_eq!(listed(&store, all.clone()).await[0].detail, "first");

    let (known, unknown) = (letter.id, Uuid::nil());
    let discard = || store.store.discard_dead_letters(vec![unknown, known]);
    assert_eq!(
        discard().await.unwrap(),
        [(unknown, Discarded::Missing), (known, Discarded::Now)]
    );
    assert_eq!(discard().await.unwrap()[1].1, Discarded::Already);
    assert_eq!(insert(&store, &[again]).await, 0);
    assert_eq!(
        listed(&store, all).await[0].state,
        DeadLetterState::Discarded
    );
}

/// Three letters of different reasons, ads, times and states, oldest first.
async fn three(store: &TestStore) -> Vec<Uuid> {
    let mut event = click(HOUR);
    let mut letters = Vec::new();
    for (number, reason) in [
        (1, DeadLetterReason::TooOld),
        (2, DeadLetterReason::TooOld),
        (3, DeadLetterReason::InvalidEvent),
    ] {
        event.ad_id = ad(number);
        event.id = click(HOUR).id;
        letters.push(NewDeadLetter::of_event(&event, reason, "why"));
    }
    insert(store, &letters).await;
    let ids: Vec<Uuid> = letters.iter().map(|letter| letter.id).collect();
    for (day, id) in ids.iter().enumerate() {
        let day = day + 1;
        store.sql(&format!(
            "UPDATE dead_letters SET first_seen = '2026-06-0{day}T00:00:00.000456Z' WHERE id = '{id}'"
        ));
    }
    let discarded = store.store.discard_dead_letters(vec![ids[1]]).await;
    assert_eq!(discarded.unwrap()[0].1, Discarded::Now);
    ids
}

#[tokio::test]
async fn each_filter_narrows_what_is_listed_and_counted() {
    let store = store();
    let ids = three(&store).await;
    let all = DeadLetterFilter::default;
    let cases: [(DeadLetterFilter, &[usize]); 9] = [
        (all(), &[2, 1, 0]),
        (
            DeadLetterFilter {
                reason: Some("too_old".to_owned()),
                ..all()
            },
            &[1, 0],
        ),
        (
            DeadLetterFilter {
                ad_id: Some(ad(3)),
                ..all()
            },
            &[2],
        ),
        (
            DeadLetterFilter {
                state: Some(DeadLetterState::New),
                ..all()
            },
            &[2, 0],
        ),
        (
            DeadLetterFilter {
                from: Some(at("2026-06-02T00:00:00Z")),
                ..all()
            },
            &[2, 1],
        ),
        (
            DeadLetterFilter {
                to: Some(at("2026-06-02T00:00:00Z")),
                ..all()
            },
            &[0],
        ),
        (
            DeadLetterFilter {
                ids: Some(vec![ids[0], Uuid::nil()]),
                ..all()
            },
            &[0],
        ),
        (
            DeadLetterFilter {
                ids: Some(Vec::new()),
                ..all()
            },
            &[],
        ),
        (
            DeadLetterFilter {
                reason: Some("too_old".to_owned()),
                ad_id: Some(ad(2)),
                state: Some(DeadLetterState::New),
                ..all()
            },
            &[],
        ),
    ];
    for (filter, expected) in cases {
        let found: Vec<Uuid> = listed(&store, filter.clone())
            .await
            .iter()
            .map(|l| l.id)
            .collect();
        let expected: Vec<Uuid> = expected.iter().map(|index| ids[*index]).collect();
        assert_eq!(found, expected, "{filter:?}");
        let counts = store
            .store
            .dead_letter_counts(filter.clone())
            .await
            .unwrap();
        let counted: u64 = counts.iter().map(|count| count.count).sum();
        assert_eq!(counted, found.len() as u64, "{filter:?}");
        let left = store.store.dead_letters_left(filter, None).await.unwrap();
        assert_eq!(left, counted);
    }
}

#[tokio::test]
async fn pages_and_batches_show_each_letter_once() {
    let store = store();
    // One transaction, so all have one time.
    let letters: Vec<_> = (0..2_500)
        .map(|_| NewDeadLetter::of_event(&click(HOUR), DeadLetterReason::TooOld, ""))
        .collect();
    assert_eq!(insert(&store, &letters).await, 2_500);
    let mut expected: Vec<Uuid> = letters.iter().map(|letter| letter.id).collect();
    expected.sort_unstable();

    let (mut oldest_first, mut after) = (Vec::new(), None);
    let all = DeadLetterFilter::default;
    loop {
        let batch = store
            .store
            .dead_letter_batch(all(), after, 999, u64::MAX)
            .await
            .unwrap();
        oldest_first.extend(batch.ids);
        let left = store
            .store
            .dead_letters_left(all(), batch.next)
            .await
            .unwrap();
        let Some(next) = batch.next else { break };
        assert_eq!(left as usize, 2_500 - oldest_first.len());
        after = adtally_store::DeadLetterCursor::parse(&next.to_string());
        assert_eq!(after, Some(next));
    }
    assert_eq!(oldest_first, expected);

    let (mut newest_first, mut after) = (Vec::new(), None);
    loop {
        let page = store.store.dead_letters(all(), after, 700).await.unwrap();
        newest_first.extend(page.letters.iter().map(|letter| letter.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    expected.reverse();
    assert_eq!(newest_first, expected);
}

#[tokio::test]
async fn a_batch_holds_no_more_bytes_than_wanted_but_at_least_one_letter() {
    let store = store();
    let letters: Vec<_> = (0..3)
        .map(|_| NewDeadLetter {
            body: vec![b'x'; 1_000],
            ..NewDeadLetter::of_event(&click(HOUR), DeadLetterReason::TooOld, "")
        })
        .collect();
    insert(&store, &letters).await;
    for (bytes, expected) in [(0, 1), (1_999, 1), (2_000, 2), (9_000, 3)] {
        let all = DeadLetterFilter::default();
        let batch = store
            .store
            .dead_letter_batch(all, None, 10, bytes)
            .await
            .unwrap();
        assert_eq!(batch.ids.len(), expected, "{bytes}");
        assert_eq!(batch.next.is_none(), expected == 3, "{bytes}");
    }
}
