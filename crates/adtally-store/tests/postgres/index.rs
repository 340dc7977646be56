//! How full the pages of the key's index become, in whatever order events arrive.

use adtally_domain::{Event, EventId, EventKind};

use crate::support::{TestStore, at, click, impression, store};

const EVENTS: i64 = 48_000;
/// Rows of a batch of a worker that has enough to do.
const BATCH: usize = 4_000;

/// Fifty minutes of events, one in ten a click, in the order of their ids.
fn events() -> Vec<Event> {
    let start = at("2026-06-01T10:00:00Z");
    let event = |number: i64| {
        let kind = if number % 10 == 0 { click } else { impression };
        let event = kind("2026-06-01T10:00:00Z");
        let mut random = [0; 10];
        random.copy_from_slice(&event.id.as_uuid().as_bytes()[6..]);
        Event {
            id: EventId::v7(start.saturating_add_millis(number * 60), random),
            ..event
        }
    };
    (0..EVENTS).map(event).collect()
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
    let (clicks, impressions): (Vec<Event>, Vec<Event>) = events
        .into_iter()
        .partition(|event| event.kind == EventKind::Click);
    let clicks_first = store();
    save_in_batches(&clicks_first, &clicks).await;
    save_in_batches(&clicks_first, &impressions).await;

    assert_eq!(clicks_first.tables(), in_order.tables());
    let ratio = index_bytes(&clicks_first) / index_bytes(&in_order);
    assert!(ratio < 1.3, "{ratio}");
}
