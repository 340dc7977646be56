//! Days that somebody holds a lock on wait alone.

use std::time::{Duration, Instant};

use adtally_domain::Event;
use adtally_store::{EventBatch, StoreError};

use super::store;
use crate::support::{TestStore, blocking, impression, while_held};

const LOCKED: &str = "2026-06-01T10:00:00Z";
const OTHER: &str = "2026-06-02T10:00:00Z";

/// The events of `LOCKED` are put off and those of `OTHER` stored, the second time without a wait.
async fn only_the_locked_day_waits(store: &TestStore) -> Vec<Event> {
    let mut late = Vec::new();
    for round in 0..2 {
        let (locked, other) = (impression(LOCKED), impression(OTHER));
        let begun = Instant::now();
        let stored = store.save(vec![locked.clone(), other]).await;
        assert_eq!((stored.inserted(), &stored.put_off), (1, &vec![locked]));
        late.extend(stored.put_off);
        let alone = store.save(late.clone()).await;
        assert_eq!((alone.inserted(), &alone.put_off), (0, &late));
        if round > 0 {
            assert!(begun.elapsed() < Duration::from_secs(2), "it did not wait");
        }
    }
    assert_eq!(store.count("dead_letters"), 0);
    late
}

fn with_short_lock_timeout() -> TestStore {
    let mut store = store();
    store.limit_lock_waits(Duration::from_millis(300));
    store
}

#[test]
fn an_event_whose_partition_cannot_be_made_is_put_off_and_the_rest_is_stored() {
    let store = with_short_lock_timeout();
    blocking(store.save(vec![impression(OTHER)]));
    let lock = "LOCK TABLE events IN SHARE UPDATE EXCLUSIVE MODE";
    let late = while_held(&store, lock, only_the_locked_day_waits(&store));
    assert_eq!(blocking(store.save(late)).inserted(), 2);
}

#[test]
fn an_event_whose_partition_is_locked_is_put_off_and_the_rest_is_stored() {
    let store = with_short_lock_timeout();
    blocking(store.save(vec![impression(LOCKED), impression(OTHER)]));
    for mode in ["SHARE", "ACCESS EXCLUSIVE"] {
        // Known ids are likely from here on, and looked for first.
        let known = impression(LOCKED);
        blocking(store.save(vec![known.clone()]));
        assert_eq!(blocking(store.save(vec![known])).duplicates, 1);
        let lock = format!("LOCK TABLE events_20260601 IN {mode} MODE");
        let late = while_held(&store, &lock, only_the_locked_day_waits(&store));
        assert_eq!(blocking(store.save(late)).inserted(), 2);
    }
}

#[test]
fn where_many_events_would_be_put_off_the_batch_waits() {
    let store = with_short_lock_timeout();
    blocking(store.save(vec![impression(LOCKED)]));
    let events: Vec<Event> = (0..1_025).map(|_| impression(LOCKED)).collect();
    let batch = EventBatch::new(&events, Vec::new());
    let lock = "LOCK TABLE events_20260601 IN SHARE MODE";
    let refused = while_held(&store, lock, store.store.store_events(store.zone, batch));
    let error = refused.unwrap_err();
    assert!(matches!(error, StoreError::Database(_)), "{error}");
    assert_eq!(store.count("events"), 1);
}
