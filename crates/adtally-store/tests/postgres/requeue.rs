//! Putting dead letters back, with everything that may happen meanwhile.

use std::convert::Infallible;
use std::time::Duration;

use adtally_domain::{DeadLetterReason, EventId, named_task_id};
use adtally_store::{
    DeadLetter, DeadLetterState, Discarded, EventBatch, NewDeadLetter, Requeued, StoreError,
    TaskRun, TaskStart,
};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::support::{TestStore, click, store, task};

const HOUR: &str = "2026-06-01T10:15:00Z";

type Outcome = Result<Requeued<Infallible>, StoreError>;

fn letter() -> NewDeadLetter {
    NewDeadLetter::of_event(&click(HOUR), DeadLetterReason::InvalidEvent, "first")
}

/// A store with `letter` in it.
async fn with(letter: &NewDeadLetter) -> TestStore {
    let store = store();
    let inserted = store.store.insert_dead_letters(vec![letter.clone()]).await;
    assert_eq!(inserted.unwrap(), 1);
    store
}

/// The task that a letter of these tests names in its detail.
fn task_of(letter: &DeadLetter) -> Option<Uuid> {
    Some(named_task_id(&letter.letter.detail))
}

/// Requeues one letter; `during` happens once it is sent and before that is known.
async fn requeue(store: &TestStore, id: Uuid, again: bool, during: impl Future) -> Outcome {
    let sending = |letters: Vec<DeadLetter>| async move {
        during.await;
        letters.iter().map(|_| Ok(())).collect()
    };
    let requeued = store
        .store
        .requeue_dead_letters(vec![id], again, task_of, sending);
    Ok(requeued.await?.pop().unwrap().1)
}

async fn state(store: &TestStore, id: Uuid) -> (DeadLetterState, bool) {
    let kept = store.store.dead_letter(id).await.unwrap().unwrap();
    (kept.state, kept.requeued_at.is_some())
}

async fn fails_again(store: &TestStore, letter: &NewDeadLetter) -> u64 {
    let again = NewDeadLetter {
        detail: "again".to_owned(),
        ..letter.clone()
    };
    store.store.insert_dead_letters(vec![again]).await.unwrap()
}

/// Waits until somebody waits for a lock in this database.
async fn until_blocked(store: &TestStore) {
    let blocked = "SELECT EXISTS (SELECT FROM pg_stat_activity \
                   WHERE datname = current_database() AND wait_event_type = 'Lock')";
    store.until(blocked).await;
}

#[tokio::test]
async fn a_letter_is_sent_once_however_often_it_is_requeued() {
    let letter = letter();
    let store = with(&letter).await;
    assert_eq!(
        requeue(&store, letter.id, false, async {}).await.unwrap(),
        Requeued::Now
    );
    assert_eq!(
        state(&store, letter.id).await,
        (DeadLetterState::Requeued, true)
    );
    let unsent = async { panic!("it is sent twice") };
    assert_eq!(
        requeue(&store, letter.id, false, unsent).await.unwrap(),
        Requeued::Already
    );
    assert_eq!(
        requeue(&store, letter.id, true, async {}).await.unwrap(),
        Requeued::Now
    );
    assert_eq!(
        requeue(&store, Uuid::nil(), true, async {}).await.unwrap(),
        Requeued::Missing
    );
    let discarded = store
        .store
        .discard_dead_letters(vec![letter.id])
        .await
        .unwrap();
    assert_eq!(discarded, [(letter.id, Discarded::Requeued)]);
}

#[tokio::test]
async fn two_operators_at_once_send_a_letter_once() {
    let letter = letter();
    let store = with(&letter).await;
    let unsent = async { panic!("it is sent twice") };
    let (second, blocked) = (
        requeue(&store, letter.id, false, unsent),
        until_blocked(&store),
    );
    let (sent, is_sent) = oneshot::channel();
    let first = requeue(&store, letter.id, false, async {
        sent.send(()).unwrap();
        blocked.await;
    });
    let second = async {
        is_sent.await.unwrap();
        second.await
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!(
        (first.unwrap(), second.unwrap()),
        (Requeued::Now, Requeued::Already)
    );
}

#[tokio::test]
async fn a_letter_that_fails_again_is_new_again_also_when_it_fails_before_it_is_marked() {
    let letter = letter();
    let store = with(&letter).await;
    requeue(&store, letter.id, false, async {}).await.unwrap();
    assert_eq!(fails_again(&store, &letter).await, 1);
    let kept = store.store.dead_letter(letter.id).await.unwrap().unwrap();
    assert_eq!(
        (kept.state, kept.letter.detail.as_str()),
        (DeadLetterState::New, "again")
    );
    assert!(kept.requeued_at.is_some());

    let (sent, is_sent) = oneshot::channel();
    let requeued = requeue(&store, letter.id, false, async {
        sent.send(()).unwrap();
        until_blocked(&store).await;
    });
    let failed = async {
        is_sent.await.unwrap();
        fails_again(&store, &letter).await
    };
    let (requeued, failed) = tokio::join!(requeued, failed);
    assert_eq!((requeued.unwrap(), failed), (Requeued::Now, 1));
    assert_eq!(state(&store, letter.id).await.0, DeadLetterState::New);
}

#[tokio::test]
async fn an_event_that_the_table_refuses_again_goes_back_to_its_letter() {
    let mut event = click(HOUR);
    let letter = NewDeadLetter {
        id: Uuid::from_u128(7),
        ..NewDeadLetter::of_event(&event, DeadLetterReason::InvalidEvent, "first")
    };
    let store = with(&letter).await;
    event.visitor_id = Some("x".repeat(1_000_000));
    store.sql("ALTER TABLE events ADD CONSTRAINT short CHECK (length(visitor_id) < 1000)");
    let batch = EventBatch::new(&[event], Vec::new());
    let (sent, is_sent) = oneshot::channel();
    let requeued = requeue(&store, letter.id, false, async {
        sent.send(()).unwrap();
        until_blocked(&store).await;
    });
    let refused = async {
        is_sent.await.unwrap();
        store
            .store
            .store_events(store.zone, batch.clone())
            .await
            .unwrap()
    };
    let (requeued, refused) = tokio::join!(requeued, refused);
    assert_eq!((requeued.unwrap(), refused.invalid), (Requeued::Now, 1));
    assert_eq!(store.count("dead_letters"), 1);
    assert_eq!(state(&store, letter.id).await, (DeadLetterState::New, true));
}

#[tokio::test]
async fn an_event_that_is_stored_leaves_its_letter_requeued() {
    let event = click(HOUR);
    let letter = NewDeadLetter::of_event(&event, DeadLetterReason::InvalidEvent, "first");
    let store = with(&letter).await;
    for again in [false, true] {
        let (sent, is_sent) = oneshot::channel();
        let requeued = requeue(&store, letter.id, again, async {
            sent.send(()).unwrap();
            if !again {
                until_blocked(&store).await;
            }
        });
        let stored = async {
            is_sent.await.unwrap();
            store.save(vec![event.clone()]).await
        };
        let (requeued, _) = tokio::join!(requeued, stored);
        assert_eq!(requeued.unwrap(), Requeued::Now);
        let expected = (DeadLetterState::Requeued, true);
        assert_eq!(state(&store, letter.id).await, expected);
    }
    assert_eq!(store.count("events"), 1);
    let found = store.store.find_events(vec![event.id]).await.unwrap();
    assert_eq!(
        (found.stored, found.dead_letters),
        (vec![event.id], Vec::<EventId>::new())
    );
}

#[tokio::test]
async fn a_letter_that_could_not_be_sent_stays_as_it_was() {
    let letters: Vec<_> = (0..3).map(|_| letter()).collect();
    let store = store();
    store
        .store
        .insert_dead_letters(letters.clone())
        .await
        .unwrap();
    let ids: Vec<_> = letters.iter().map(|letter| letter.id).collect();
    store
        .store
        .discard_dead_letters(vec![ids[2]])
        .await
        .unwrap();
    let bad = [ids[1], ids[2]];
    let sending = |letters: Vec<DeadLetter>| async move {
        let result = |letter: &DeadLetter| match bad.contains(&letter.letter.id) {
            true => Err("refused"),
            false => Ok(()),
        };
        letters.iter().map(result).collect()
    };
    let requeued = store
        .store
        .requeue_dead_letters(ids.clone(), false, task_of, sending);
    let expected = [
        Requeued::Now,
        Requeued::Failed("refused"),
        Requeued::Failed("refused"),
    ];
    let expected: Vec<_> = ids.iter().copied().zip(expected).collect();
    assert_eq!(requeued.await.unwrap(), expected);
    assert_eq!(
        state(&store, ids[0]).await,
        (DeadLetterState::Requeued, true)
    );
    assert_eq!(state(&store, ids[1]).await, (DeadLetterState::New, false));
    assert_eq!(
        state(&store, ids[2]).await,
        (DeadLetterState::Discarded, false)
    );
}

#[tokio::test]
async fn an_operator_who_vanishes_after_sending_leaves_the_letter_new() {
    let letter = letter();
    let store = with(&letter).await;
    let (sent, is_sent) = oneshot::channel();
    let requeued = requeue(&store, letter.id, false, async {
        sent.send(()).unwrap();
        std::future::pending::<()>().await;
    });
    tokio::select! {
        _ = requeued => panic!("it never ends"),
        sent = is_sent => sent.unwrap(),
    }
    // Whoever comes next need not wait.
    let next = requeue(&store, letter.id, false, async {});
    let next = tokio::time::timeout(Duration::from_secs(30), next)
        .await
        .unwrap();
    assert_eq!(next.unwrap(), Requeued::Now);
}

#[tokio::test]
async fn a_connection_that_is_lost_after_sending_leaves_the_letter_new() {
    let letter = letter();
    let store = with(&letter).await;
    let lost = requeue(&store, letter.id, false, async {
        store.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND state = 'idle in transaction'",
        );
    });
    let error = lost.await.unwrap_err();
    assert!(matches!(error, StoreError::ConnectionLost(_)), "{error}");
    assert_eq!(
        state(&store, letter.id).await,
        (DeadLetterState::New, false)
    );
    assert_eq!(
        requeue(&store, letter.id, false, async {}).await.unwrap(),
        Requeued::Now
    );
}

/// A task that was given up, with its letter.
async fn given_up(store: &TestStore) -> (TaskRun, NewDeadLetter) {
    let run = TaskRun {
        task_id: named_task_id("a task"),
        ..task("adtally.sweep_dirty")
    };
    let letter = NewDeadLetter {
        reason: DeadLetterReason::Discarded,
        detail: "a task".to_owned(),
        event_id: None,
        ..letter()
    };
    store.store.begin_task(run.clone()).await.unwrap();
    let given_up = || {
        store
            .store
            .give_task_up(run.clone(), "why".to_owned(), letter.clone())
    };
    assert_eq!(given_up().await.unwrap(), 1);
    assert_eq!(given_up().await.unwrap(), 0);
    (run, letter)
}

#[tokio::test]
async fn a_task_that_is_taken_before_its_letter_is_marked_waits_and_then_runs() {
    let store = store();
    let (run, letter) = given_up(&store).await;
    let begin = || store.store.begin_task(run.clone());
    assert_eq!(begin().await.unwrap(), TaskStart::AlreadyDone);
    let (sent, is_sent) = oneshot::channel();
    let requeued = requeue(&store, letter.id, false, async {
        sent.send(()).unwrap();
        until_blocked(&store).await;
    });
    let begun = async {
        is_sent.await.unwrap();
        begin().await.unwrap()
    };
    let (requeued, begun) = tokio::join!(requeued, begun);
    assert_eq!(
        (requeued.unwrap(), begun),
        (Requeued::Now, TaskStart::Run { attempt: 2 })
    );

    store.store.finish_task(run.clone()).await.unwrap();
    requeue(&store, letter.id, false, async {}).await.unwrap();
    assert_eq!(
        begin().await.unwrap(),
        TaskStart::AlreadyDone,
        "it ran once"
    );
    requeue(&store, letter.id, true, async {}).await.unwrap();
    assert_eq!(begin().await.unwrap(), TaskStart::Run { attempt: 3 });
}

#[tokio::test]
async fn a_task_that_could_not_be_sent_may_not_run() {
    let store = store();
    let (run, letter) = given_up(&store).await;
    let sending =
        |letters: Vec<DeadLetter>| async move { letters.iter().map(|_| Err("refused")).collect() };
    let requeued = store
        .store
        .requeue_dead_letters(vec![letter.id], false, task_of, sending);
    assert_eq!(requeued.await.unwrap()[0].1, Requeued::Failed("refused"));
    let begun = store.store.begin_task(run).await.unwrap();
    assert_eq!(begun, TaskStart::AlreadyDone);
    assert_eq!(store.sql("SELECT state FROM task_runs").trim(), "discarded");
}
