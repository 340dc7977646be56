use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use adtally_domain::Event;
use adtally_store::{EventBatch, StoreError};

use crate::support::{TestStore, click, impression, store, task};

const HOUR: &str = "2026-06-01T10:15:00Z";
const BLOCKED: &str =
    "pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";

fn batch(events: Vec<Event>) -> Arc<EventBatch> {
    Arc::new(EventBatch::new(&events, Vec::new()))
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_of_the_same_ids_in_opposite_order_store_each_once() {
    let store = store();
    for _ in 0..10 {
        let events: Vec<Event> = (0..400)
            .map(|n| impression(&format!("2026-06-{:02}T10:00:00Z", 1 + n % 3)))
            .collect();
        let mut opposite = events.clone();
        opposite.reverse();
        let (forth, back) = (batch(events), batch(opposite));
        let save = |batch: &Arc<EventBatch>| store.store.store_events(store.zone, batch.clone());
        let outcomes = tokio::join!(save(&forth), save(&back), save(&forth), save(&back));
        let outcomes = [outcomes.0, outcomes.1, outcomes.2, outcomes.3].map(Result::unwrap);
        let inserted: u64 = outcomes.iter().map(|stored| stored.inserted()).sum();
        let duplicates: u64 = outcomes.iter().map(|stored| stored.duplicates).sum();
        assert_eq!((inserted, duplicates), (400, 1_200));
        assert!(outcomes.iter().all(|stored| stored.conflicts == 0));
    }
    assert_eq!(store.count("events"), 4_000);
}

/// Waits until `count` sessions wait for a lock.
async fn blocked(store: &TestStore, count: u32) {
    store
        .until(&format!("SELECT count(*) = {count} FROM {BLOCKED}"))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_roll_ups_of_one_hour_around_a_late_event_lose_nothing() {
    let store = store();
    let hour = store.hour(HOUR);
    store.save(vec![impression(HOUR)]).await;
    store.roll_up_hour(hour).await;
    store.save(vec![impression(HOUR)]).await;

    // Both have their snapshot and wait for the same row; the late event came between the two.
    let hold = "BEGIN; SELECT * FROM ad_hourly_stats FOR UPDATE; SELECT pg_advisory_lock(9); \
                COMMIT";
    let gate = "SELECT pg_advisory_lock(9), pg_sleep(3)";
    std::thread::scope(|scope| {
        let opened = scope.spawn(|| store.sql(gate));
        crate::support::blocking(
            store.until(
                "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted)",
            ),
        );
        scope.spawn(|| store.sql(hold));
        crate::support::blocking(async {
            blocked(&store, 1).await;
            let roll_up = || {
                let task = task("adtally.aggregate_hour");
                store.store.roll_up_hour(task, store.zone, hour)
            };
            let second = async {
                blocked(&store, 2).await;
                store.save(vec![click(HOUR)]).await;
                roll_up().await
            };
            let (first, second) = tokio::join!(roll_up(), second);
            assert!(first.is_ok() && second.is_ok());
        });
        opened.join().unwrap();
    });
    store.roll_up_all().await;
    let row = store.sql("SELECT impressions, clicks FROM ad_hourly_stats");
    assert_eq!(row.trim(), "2|1");
    assert_eq!(store.count("dirty_hours"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_committed_during_a_roll_up_leaves_its_mark() {
    let store = store();
    let hour = store.hour(HOUR);
    store.save(vec![impression(HOUR)]).await;
    let uncommitted = "BEGIN; INSERT INTO events (event_id, ad_id, kind, received_at) \
         SELECT overlay(event_id::text PLACING '7000-8000-000000000000' FROM 15)::uuid, 1, 0, now() \
         FROM events; INSERT INTO dirty_hours (hour) SELECT min(hour) FROM dirty_hours; \
         SELECT pg_advisory_lock(8), pg_sleep(1); COMMIT";
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| store.sql(uncommitted));
        crate::support::blocking(async {
            store
                .until("SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory')")
                .await;
            assert_eq!(store.roll_up_hour(hour).await.written, 1);
        });
        writer.join().unwrap();
    });
    assert_eq!(
        store.sql("SELECT impressions FROM ad_hourly_stats").trim(),
        "1"
    );
    assert_eq!(store.store.pending_hours().await.unwrap(), [hour.start]);
    store.roll_up_all().await;
    assert_eq!(
        store.sql("SELECT impressions FROM ad_hourly_stats").trim(),
        "2"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn totals_outlive_raw_events_that_are_dropped_during_a_roll_up() {
    let store = store();
    store.save(vec![impression(HOUR)]).await;
    store.roll_up_all().await;
    // The roll-up has its snapshot and waits; the drop comes now, at once or after it.
    let hold = "BEGIN; LOCK TABLE ad_hourly_stats; SELECT pg_sleep(60)";
    std::thread::scope(|scope| {
        scope.spawn(|| store.database.psql(hold));
        crate::support::blocking(async {
            let held = "SELECT EXISTS (SELECT FROM pg_locks WHERE granted \
                        AND relation = 'ad_hourly_stats'::regclass)";
            store.until(held).await;
            let roll_up = store.roll_up_hour(store.hour(HOUR));
            let drop = async {
                blocked(&store, 1).await;
                let day = "2026-06-01".parse().unwrap();
                store
                    .store
                    .drop_partition(store.zone, day, Duration::ZERO)
                    .await
                    .unwrap()
            };
            let release = async {
                let dropped_or_waits = format!(
                    "SELECT (SELECT count(*) FROM {BLOCKED}) = 2 \
                     OR EXISTS (SELECT FROM settings WHERE key = 'raw_from')"
                );
                store.until(&dropped_or_waits).await;
                store.sql(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                     WHERE wait_event = 'PgSleep' AND datname = current_database()",
                );
            };
            let (outcome, ..) = tokio::join!(roll_up, drop, release);
            assert_eq!(outcome.changed(), 0);
        });
    });
    assert_eq!(store.count("events"), 0);
    let total = store.sql("SELECT impressions FROM ad_hourly_stats");
    assert_eq!(total.trim(), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_task_delivered_twice_at_once_has_its_effect_once() {
    let store = store();
    let hour = store.hour(HOUR);
    for _ in 0..10 {
        store.save(vec![impression(HOUR)]).await;
        let twice = task("adtally.aggregate_hour");
        let run = || store.store.roll_up_hour(twice.clone(), store.zone, hour);
        let (a, b, c) = tokio::join!(run(), run(), run());
        let written: u64 = [a, b, c]
            .map(|outcome| outcome.unwrap().written)
            .iter()
            .sum();
        assert_eq!(written, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn roll_ups_and_writers_at_once_end_in_totals_that_add_up() {
    let store = store();
    let hour = store.hour(HOUR);
    let write = async || {
        for _ in 0..15 {
            let events = (0..20).map(|_| impression(HOUR)).collect();
            store
                .store
                .store_events(store.zone, batch(events))
                .await
                .unwrap();
        }
    };
    let roll_up = async || {
        for _ in 0..15 {
            let task = task("adtally.aggregate_hour");
            match store.store.roll_up_hour(task, store.zone, hour).await {
                Ok(_) | Err(StoreError::Contended(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
    };
    tokio::join!(write(), write(), roll_up(), roll_up(), roll_up());
    store.roll_up_all().await;
    assert_eq!(
        store.sql("SELECT impressions FROM ad_hourly_stats").trim(),
        "600"
    );
    assert_eq!(
        store.sql("SELECT impressions FROM ad_daily_stats").trim(),
        "600"
    );
    assert_eq!(store.store.audit(store.zone).await.unwrap().mismatches, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_are_ended_again_and_again_lose_and_double_nothing() {
    let store = store();
    let batches: Vec<_> = (0..12)
        .map(|_| batch((0..800).map(|_| impression(HOUR)).collect()))
        .collect();
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                store.sql(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                     WHERE datname = current_database() AND pid <> pg_backend_pid()",
                );
            }
        });
        let refused = crate::support::blocking(async {
            for batch in batches {
                while let Err(error) = store.store.store_events(store.zone, batch.clone()).await {
                    if !error.is_transient() {
                        return Some(error);
                    }
                }
            }
            None
        });
        is_done.store(true, Ordering::Relaxed);
        assert!(refused.is_none(), "{refused:?}");
    });
    assert_eq!(
        (store.count("events"), store.count("dead_letters")),
        (9_600, 0)
    );
    store.roll_up_all().await;
    assert_eq!(
        store.sql("SELECT impressions FROM ad_hourly_stats").trim(),
        "9600"
    );
}
