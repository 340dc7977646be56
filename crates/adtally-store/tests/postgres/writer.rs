//! Batches stored in a row.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use adtally_domain::Event;
use adtally_store::{EventBatch, EventWriter, Store, StoreError, Stored};
use tokio::task::JoinSet;

use crate::support::{TestStore, config, impression, store};

const HOUR: &str = "2026-06-01T10:15:00Z";
/// Sessions that store, or would.
const SESSIONS: &str = "pg_stat_activity WHERE datname = current_database() \
                        AND application_name = 'adtally'";

fn batch(events: Vec<Event>) -> Arc<EventBatch> {
    Arc::new(EventBatch::new(&events, Vec::new()))
}

fn impressions(count: usize) -> Vec<Event> {
    (0..count).map(|_| impression(HOUR)).collect()
}

/// Gives a writer all of `batches`, in their order.
async fn order(
    store: &TestStore,
    writer: &Arc<EventWriter>,
    batches: impl IntoIterator<Item = Arc<EventBatch>>,
) -> JoinSet<Result<Stored, StoreError>> {
    let mut orders = JoinSet::new();
    for batch in batches {
        let (writer, zone) = (Arc::clone(writer), store.zone);
        let mut stored = Box::pin(async move { writer.store(zone, batch).await });
        // Asked once, it is in the queue.
        tokio::select! {
            biased;
            stored = &mut stored => panic!("stored in no time: {stored:?}"),
            () = std::future::ready(()) => {}
        }
        orders.spawn(stored);
    }
    orders
}

/// The ids that the table has.
fn stored_ids(store: &TestStore) -> BTreeSet<String> {
    let ids = store.sql("SELECT event_id FROM events");
    ids.lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_given_at_once_are_stored_each_event_once_over_so_many_connections() {
    for connections in [1, 3] {
        let store = store();
        let writer = Arc::new(store.store.event_writer(connections));
        let events: Vec<Vec<Event>> = (0..40).map(|_| impressions(25)).collect();
        let ids: BTreeSet<String> = events.iter().flatten().map(|e| e.id.to_string()).collect();
        // Each comes twice.
        let batches = events.iter().chain(&events).cloned().map(batch);
        let outcomes = order(&store, &writer, batches).await.join_all().await;
        let (mut inserted, mut duplicates) = (0, 0);
        for stored in outcomes {
            let stored = stored.unwrap();
            inserted += stored.inserted();
            duplicates += stored.duplicates;
        }
        assert_eq!((inserted, duplicates), (1_000, 1_000));
        assert_eq!(stored_ids(&store), ids);
        let sessions = store.sql(&format!("SELECT count(*) FROM {SESSIONS}"));
        assert!(
            sessions.parse::<usize>().unwrap() <= connections,
            "{sessions}"
        );
    }
}

/// Keeps every batch from being committed while `work` is under way.
async fn while_blocked<T>(store: &TestStore, work: impl AsyncFnOnce() -> T) -> T {
    let asleep = "pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'";
    let database = &store.database;
    let hold = "BEGIN; LOCK TABLE dirty_hours IN EXCLUSIVE MODE; SELECT pg_sleep(60)";
    std::thread::scope(|scope| {
        // It ends with an error, because it is ended.
        scope.spawn(move || drop(database.psql(hold)));
        here(async {
            store
                .until(&format!("SELECT count(*) = 1 FROM {asleep}"))
                .await;
            let outcome = work().await;
            store.sql(&format!("SELECT pg_terminate_backend(pid) FROM {asleep}"));
            outcome
        })
    })
}

fn here<T>(work: impl Future<Output = T>) -> T {
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(work))
}

async fn until_blocked(store: &TestStore) {
    let blocked = format!("SELECT count(*) = 1 FROM {SESSIONS} AND wait_event_type = 'Lock'");
    store.until(&blocked).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_fails_one_batch_and_those_behind_it_are_stored() {
    let store = store();
    let writer = Arc::new(store.store.event_writer(1));
    let lost = batch(impressions(10));
    let mut behind = while_blocked(&store, async || {
        let mut first = order(&store, &writer, [lost.clone()]).await;
        until_blocked(&store).await;
        let behind = order(&store, &writer, (0..5).map(|_| batch(impressions(10)))).await;
        store.sql(&format!("SELECT pg_terminate_backend(pid) FROM {SESSIONS}"));
        let failed = first.join_next().await.unwrap().unwrap().unwrap_err();
        assert!(matches!(failed, StoreError::Unavailable(_)), "{failed}");
        behind
    })
    .await;
    while let Some(stored) = behind.join_next().await {
        assert_eq!(stored.unwrap().unwrap().inserted(), 10);
    }
    // What failed is stored when it is given again.
    let again = writer.store(store.zone, lost).await.unwrap();
    assert_eq!(again.inserted(), 10);
    assert_eq!(store.count("events"), 60);
}

/// A process that stands still until this is dropped.
struct Stopped(String);

impl Stopped {
    fn new(pid: String) -> Self {
        signal("STOP", &pid);
        Self(pid)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        signal("CONT", &self.0);
    }
}

fn signal(name: &str, pid: &str) {
    let status = Command::new("kill").args(["-s", name, pid]).status();
    assert!(status.unwrap().success(), "kill -s {name} {pid}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_hangs_holds_up_its_own_batch_only() {
    let database = store();
    let mut config = config(database.database.url());
    config.call_timeout = Duration::from_secs(2);
    let writer = Arc::new(Store::connect(config).event_writer(1));
    writer
        .store(database.zone, batch(impressions(1)))
        .await
        .unwrap();
    let pid = database.sql(&format!("SELECT pid FROM {SESSIONS}"));
    let stopped = Stopped::new(pid);
    let hung = batch(impressions(10));
    let mut first = order(&database, &writer, [hung.clone()]).await;
    let mut behind = order(&database, &writer, (0..5).map(|_| batch(impressions(10)))).await;
    let failed = first.join_next().await.unwrap().unwrap().unwrap_err();
    assert!(failed.to_string().contains("no answer"), "{failed}");
    while let Some(stored) = behind.join_next().await {
        assert_eq!(stored.unwrap().unwrap().inserted(), 10);
    }
    drop(stopped);
    // Whether the server took it or not, it is there once.
    writer.store(database.zone, hung).await.unwrap();
    assert_eq!(database.count("events"), 61);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_waits_for_any_more_is_not_begun() {
    let store = store();
    let writer = Arc::new(store.store.event_writer(1));
    let mut first = while_blocked(&store, async || {
        let first = order(&store, &writer, [batch(impressions(10))]).await;
        until_blocked(&store).await;
        // Asked for, then given up at once.
        tokio::select! {
            biased;
            stored = writer.store(store.zone, batch(impressions(10))) => panic!("{stored:?}"),
            () = std::future::ready(()) => {}
        }
        first
    })
    .await;
    let stored = first.join_next().await.unwrap().unwrap().unwrap();
    assert_eq!(stored.inserted(), 10);
    writer
        .store(store.zone, batch(impressions(1)))
        .await
        .unwrap();
    assert_eq!(store.count("events"), 11);
}

#[test]
fn the_threads_of_a_writer_end_with_it() {
    let store = store();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let writer = store.store.event_writer(2);
        writer
            .store(store.zone, batch(impressions(1)))
            .await
            .unwrap();
    });
    // Waits for all threads.
    drop(runtime);
    assert_eq!(store.count("events"), 1);
}
