use std::time::Duration;

use adtally_domain::{Entry, Slot};

use crate::support::{at, store};

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
    assert_eq!(store.store.last_slot(hour).await.unwrap(), None);
    let (late, early) = (
        slot(hour, "2026-06-01T11:00:00Z"),
        slot(hour, "2026-06-01T10:00:00Z"),
    );
    store.store.insert_slots(vec![late, early]).await.unwrap();
    assert_eq!(store.store.last_slot(hour).await.unwrap(), Some(late.at));
    assert_eq!(store.store.last_slot("sweep-dirty").await.unwrap(), None);

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
