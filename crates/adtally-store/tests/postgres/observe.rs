//! What an operator wants to know of the database all the time.

use std::time::Duration;

use adtally_domain::{DeadLetterReason, Entry, Slot};
use adtally_store::{DeadLetterFilter, DeadLetterState, NewDeadLetter, TaskRun};
use chrono::{Days, SecondsFormat};

use crate::support::{TestStore, click, impression, store, task};

#[tokio::test]
async fn an_empty_database_waits_for_nothing() {
    let seen = store().store.observe().await.unwrap();
    assert_eq!((seen.newest_event, seen.raw_from), (None, None));
    assert_eq!(
        (seen.hour_rolled_up_at, seen.day_rolled_up_at),
        (None, None)
    );
    assert_eq!((seen.new_letters, seen.partitions_ahead), (0, 0));
    assert!(seen.marked_hours.is_empty() && seen.marked_days.is_empty());
    assert!(seen.unfinished_slots.is_empty());
}

#[tokio::test]
async fn a_marked_hour_is_seen_with_the_time_of_its_oldest_mark_until_it_is_rolled_up() {
    let store = store();
    let early = "2026-06-01T10:15:00Z";
    let before = store.store.clock().await.unwrap();
    store.save(vec![impression(early)]).await;
    store.save(vec![impression(early)]).await;
    let seen = store.store.observe().await.unwrap();
    let [(hour, since)] = seen.marked_hours[..] else {
        panic!("{seen:?}");
    };
    assert_eq!(hour, store.hour(early).start);
    assert!(before <= since && since <= seen.at, "{seen:?}");
    assert_eq!(seen.newest_event, None, "it is of long ago");

    store.roll_up_all().await;
    let seen = store.store.observe().await.unwrap();
    assert!(seen.marked_hours.is_empty() && seen.marked_days.is_empty());
    let (hour, day) = (seen.hour_rolled_up_at, seen.day_rolled_up_at);
    assert!(hour >= Some(before) && day >= hour, "{seen:?}");

    // Marked anew, it has not waited since the first time.
    store.save(vec![click(early)]).await;
    let again = store.store.observe().await.unwrap();
    assert!(again.marked_hours[0].1 >= since);
}

#[tokio::test]
async fn the_hour_that_runs_is_left_unread_and_its_newest_event_is_seen() {
    let store = store();
    let now = store.store.clock().await.unwrap();
    let text = now
        .to_datetime()
        .to_rfc3339_opts(SecondsFormat::Millis, true);
    store.save(vec![impression(&text)]).await;
    let seen = store.store.observe().await.unwrap();
    assert_eq!(seen.newest_event, Some(now));
    assert!(seen.marked_hours.is_empty(), "{seen:?}");
}

#[tokio::test]
async fn partitions_ahead_end_at_the_first_gap() {
    let store = store();
    let today = store
        .store
        .clock()
        .await
        .unwrap()
        .to_datetime()
        .date_naive();
    let ahead = |days| today.checked_add_days(Days::new(days)).unwrap();
    let ensure = |first, last| store.store.ensure_partitions(first, last);
    ensure(ahead(0), ahead(3)).await.unwrap();
    ensure(ahead(5), ahead(6)).await.unwrap();
    let seen = store.store.observe().await.unwrap();
    assert_eq!(seen.partitions_ahead, 3);
}

#[tokio::test]
async fn a_slot_is_unfinished_until_a_worker_has_done_its_task() {
    let store = store();
    let sweep = Entry::named("sweep-dirty").unwrap();
    let now = store.store.clock().await.unwrap();
    let slot = |minutes: i64| Slot {
        entry: sweep,
        at: now.saturating_add_millis(-60_000 * minutes),
    };
    let slots = vec![slot(4), slot(3), slot(2)];
    store.store.insert_slots(slots).await.unwrap();
    let oldest = async || store.store.observe().await.unwrap().unfinished_slots;
    assert_eq!(oldest().await, [("sweep-dirty", slot(4).at)]);
    let done = TaskRun {
        task_id: slot(3).task_id(),
        ..task("adtally.sweep_dirty")
    };
    store.store.begin_task(done.clone()).await.unwrap();
    assert_eq!(oldest().await, [("sweep-dirty", slot(4).at)], "it runs");
    store.store.finish_task(done).await.unwrap();
    assert_eq!(oldest().await, [("sweep-dirty", slot(2).at)]);
}

async fn with_letters(reasons: &[DeadLetterReason]) -> (TestStore, Vec<NewDeadLetter>) {
    let store = store();
    let letter = |reason: &DeadLetterReason| {
        NewDeadLetter::of_event(&click("2026-06-01T10:15:00Z"), *reason, "")
    };
    let letters: Vec<_> = reasons.iter().map(letter).collect();
    let inserted = store.store.insert_dead_letters(letters.clone()).await;
    assert_eq!(inserted.unwrap(), reasons.len() as u64);
    (store, letters)
}

#[tokio::test]
async fn only_letters_that_wait_for_a_decision_are_counted() {
    let (store, letters) =
        with_letters(&[DeadLetterReason::InvalidEvent, DeadLetterReason::TooOld]).await;
    assert_eq!(store.store.observe().await.unwrap().new_letters, 2);
    let discarded = store.store.discard_dead_letters(vec![letters[0].id]).await;
    discarded.unwrap();
    assert_eq!(store.store.observe().await.unwrap().new_letters, 1);
}

#[tokio::test]
async fn a_purge_deletes_what_its_filter_means_and_nothing_else() {
    let (store, letters) = with_letters(&[
        DeadLetterReason::InvalidEvent,
        DeadLetterReason::InvalidEvent,
        DeadLetterReason::TooOld,
    ])
    .await;
    let ids = letters.iter().take(2).map(|letter| letter.id).collect();
    store.store.discard_dead_letters(ids).await.unwrap();
    let filter = |state, to| DeadLetterFilter {
        state: Some(state),
        to: Some(to),
        ..DeadLetterFilter::default()
    };
    let now = store.store.clock().await.unwrap().saturating_add_millis(1);
    let hour = Duration::from_secs(3_600).as_millis();
    let earlier = now.saturating_add_millis(-i64::try_from(hour).unwrap());
    let purge = |state, to, limit| store.store.purge_dead_letters(filter(state, to), limit);
    let discarded = DeadLetterState::Discarded;
    assert_eq!(purge(discarded, earlier, 10).await.unwrap(), 0);
    assert_eq!(purge(discarded, now, 1).await.unwrap(), 1);
    assert_eq!(purge(discarded, now, 10).await.unwrap(), 1);
    let left = store.sql("SELECT reason, state FROM dead_letters");
    assert_eq!(left.trim(), "too_old|new");
}
