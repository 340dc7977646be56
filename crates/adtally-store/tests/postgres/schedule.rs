use std::time::Duration;

use adtally_domain::{Entry, Slot, Timestamp};

use crate::support::{at, store, task};

fn slot(entry: &str, time: &str) -> Slot {
    Slot {
        entry: Entry::named(entry).unwrap(),
        at: at(time),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn beats_at_once_write_each_slot_once() {
    let store = store();
    let slots: Vec<Slot> = (10..20)
        .map(|hour| slot("aggregate-last-hour", &format!("2026-06-01T{hour}:00:00Z")))
        .collect();
    let insert = || store.store.insert_slots(slots.clone());
    let (a, b, c) = tokio::join!(insert(), insert(), insert());
    let inserted: u64 = [a, b, c].map(Result::unwrap).iter().sum();
    assert_eq!(inserted, 10);
    assert_eq!(store.count("schedule_runs"), 10);
}

#[tokio::test]
async fn slots_wait_in_the_outbox_until_they_are_marked_as_sent() {
    let store = store();
    let hour = "aggregate-last-hour";
    let last = |entry, by| store.store.last_slot(entry, by);
    let end = Timestamp::MAX;
    assert_eq!(last(hour, end).await.unwrap(), None);
    let (late, early) = (
        slot(hour, "2026-06-01T11:00:00Z"),
        slot(hour, "2026-06-01T10:00:00Z"),
    );
    store.store.insert_slots(vec![late, early]).await.unwrap();
    assert_eq!(last(hour, end).await.unwrap(), Some(late.at));
    assert_eq!(last(hour, late.at).await.unwrap(), Some(late.at));
    let before = late.at.saturating_add_millis(-1);
    assert_eq!(last(hour, before).await.unwrap(), Some(early.at));
    assert_eq!(last("sweep-dirty", end).await.unwrap(), None);

    let unsent = || store.store.unsent_slots(Duration::ZERO);
    let found = unsent().await.unwrap();
    assert_eq!([found[0].slot, found[1].slot], [early.at, late.at]);
    assert_eq!(found[0].task_id, early.task_id());
    let patient = store
        .store
        .unsent_slots(Duration::from_secs(3_600))
        .await
        .unwrap();
    assert_eq!(patient, []);

    let mark = || store.store.mark_enqueued(hour.to_owned(), early.at);
    assert!(mark().await.unwrap());
    assert!(!mark().await.unwrap());
    assert_eq!(unsent().await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_schedule_begins_when_first_asked_for_and_never_in_the_future() {
    let store = store();
    let first = store.store.schedule_from().await.unwrap();
    assert_eq!(store.store.schedule_from().await.unwrap(), first);
    // As a beat would leave it that began while the clock was ahead.
    store.sql("UPDATE settings SET value = '2999-01-01T00:00:00Z' WHERE key = 'schedule_from'");
    let corrected = store.store.schedule_from().await.unwrap();
    assert!(corrected >= first && corrected <= store.store.clock().await.unwrap());
    assert_eq!(store.store.schedule_from().await.unwrap(), corrected);
}

#[tokio::test]
async fn only_runs_that_nothing_asks_for_again_are_forgotten() {
    let store = store();
    let (sweep, hour) = ("sweep-dirty", "aggregate-last-hour");
    let slots: Vec<Slot> = [sweep, hour]
        .into_iter()
        .flat_map(|entry| {
            ["10", "11", "12"].map(|h| slot(entry, &format!("2026-06-01T{h}:00:00Z")))
        })
        .collect();
    store.store.insert_slots(slots.clone()).await.unwrap();
    for slot in &slots[1..] {
        let entry = slot.entry.name.to_owned();
        store.store.mark_enqueued(entry, slot.at).await.unwrap();
    }
    let (done, failed) = (task("done"), task("failed"));
    store.store.finish_task(done).await.unwrap();
    store
        .store
        .fail_task(failed, "why".to_owned(), true)
        .await
        .unwrap();

    assert_eq!(
        store
            .store
            .forget_old_runs(Duration::from_secs(60))
            .await
            .unwrap(),
        0
    );
    assert_eq!(
        store.store.forget_old_runs(Duration::ZERO).await.unwrap(),
        2
    );
    let left =
        store.sql("SELECT entry, extract(hour FROM slot)::int FROM schedule_runs ORDER BY 1, 2");
    let expected = [
        "aggregate-last-hour|10",
        "aggregate-last-hour|11",
        "aggregate-last-hour|12",
        // Not sent yet.
        "sweep-dirty|10",
        // The one that tells beat where it stopped.
        "sweep-dirty|12",
    ];
    assert_eq!(left.trim(), expected.join("\n"));
    assert_eq!(store.sql("SELECT name FROM task_runs").trim(), "failed");
}
