//! Large batches between stored rows: the key's index stays dense, and each event is stored once.

use std::hash::{DefaultHasher, Hash, Hasher};

use adtally_domain::{Event, EventId, EventKind};
use adtally_store::EventBatch;
use tokio::task::JoinSet;

use crate::support::{TestStore, at, click, impression, store};

const EVENTS: i64 = 48_000;
/// Rows of a batch of a worker that has enough to do.
const BATCH: usize = 4_000;

/// Events of 48 minutes, one in ten a click, in the order of their ids. The ids are the same each time.
fn events() -> Vec<Event> {
    let start = at("2026-06-01T10:00:00Z");
    let event = |number: i64| {
        let mut hasher = DefaultHasher::new();
        number.hash(&mut hasher);
        let mut random = [0; 10];
        random[2..].copy_from_slice(&hasher.finish().to_be_bytes());
        let kind = if number % 10 == 0 { click } else { impression };
        Event {
            id: EventId::v7(start.saturating_add_millis(number * 60), random),
            ..kind("2026-06-01T10:00:00Z")
        }
    };
    (0..EVENTS).map(event).collect()
}

fn by_kind(events: Vec<Event>) -> (Vec<Event>, Vec<Event>) {
    let is_click = |event: &Event| event.kind == EventKind::Click;
    events.into_iter().partition(is_click)
}

async fn save_in_batches(store: &TestStore, events: &[Event]) {
    for batch in events.chunks(BATCH) {
        let stored = store.save(batch.to_vec()).await;
        assert_eq!(stored.inserted(), batch.len() as u64);
    }
}

fn index_bytes(store: &TestStore) -> f64 {
    let bytes = store.sql("SELECT pg_relation_size('events_20260601_pkey')");
    bytes.trim().parse().unwrap()
}

#[tokio::test]
async fn the_index_is_as_dense_when_clicks_came_long_before_their_impressions() {
    let events = events();
    let in_order = store();
    save_in_batches(&in_order, &events).await;
    let (clicks, impressions) = by_kind(events);
    let clicks_first = store();
    save_in_batches(&clicks_first, &clicks).await;
    save_in_batches(&clicks_first, &impressions).await;

    assert_eq!(clicks_first.tables(), in_order.tables());
    let ratio = index_bytes(&clicks_first) / index_bytes(&in_order);
    assert!(ratio < 1.3, "{ratio}");
}

/// A large batch goes in two passes and a small one by id, so writers of the same ids may wait for each
/// other.
#[tokio::test(flavor = "multi_thread")]
async fn large_and_small_batches_of_the_same_events_store_each_once() {
    let store = store();
    let (clicks, impressions) = by_kind(events());
    store.save(clicks.clone()).await;
    let same = &impressions[..BATCH];
    let mut writers = JoinSet::new();
    for events in std::iter::once(same).chain(same.chunks(BATCH / 4)) {
        let (store, zone) = (store.store.clone(), store.zone);
        let batch = EventBatch::new(events, Vec::new());
        writers.spawn(async move { store.store_events(zone, batch).await });
    }
    let mut inserted = 0;
    for stored in writers.join_all().await {
        inserted += stored.unwrap().inserted();
    }
    assert_eq!(inserted, BATCH as u64);
    assert_eq!(store.count("events"), (clicks.len() + BATCH) as u64);
}
