//! Calls that read much leave room for the others, and end when nobody waits for them.

use std::time::{Duration, Instant};

use adtally_store::{Granularity, StatsSpan, Store};

use crate::support::{TestStore, ad, at, config, store};

fn span(from: &str, to: &str) -> StatsSpan {
    StatsSpan {
        granularity: Granularity::Hour,
        from: at(from),
        to: at(to),
        final_after: Duration::from_secs(86_400),
    }
}

/// Databases made of one template have the same tables under the same numbers.
const HELD: &str = "SELECT EXISTS (SELECT FROM pg_locks JOIN pg_database ON pg_database.oid = database \
    WHERE relation = 'dirty_hours'::regclass AND granted AND mode = 'AccessExclusiveLock' \
    AND datname = current_database())";

fn end_sleepers(store: &TestStore) {
    store.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE wait_event = 'PgSleep' AND datname = current_database()",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_totals_leaves_a_connection_for_what_is_quick() {
    let test = store();
    let mut config = config(test.database.url());
    config.pool_size = 4;
    let store = Store::connect(config);
    let zone = test.zone;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            test.database
                .psql("BEGIN; LOCK TABLE dirty_hours; SELECT pg_sleep(60)")
        });
        crate::support::blocking(async {
            test.until(HELD).await;
            let period = span("2026-06-01T00:00:00Z", "2026-06-02T00:00:00Z");
            let mut calls = tokio::task::JoinSet::new();
            for _ in 0..12 {
                let store = store.clone();
                calls.spawn(async move { store.all_stats(zone, period, None, 10).await });
            }
            let waiting = "SELECT count(*) = 3 FROM pg_stat_activity \
                           WHERE wait_event_type = 'Lock' AND datname = current_database()";
            test.until(waiting).await;
            let quick = tokio::time::timeout(Duration::from_secs(4), store.ad(ad(1))).await;
            assert_eq!(quick.expect("it found a connection").unwrap(), None);
            assert_eq!(test.sql(waiting).trim(), "t", "no more than three at once");
            end_sleepers(&test);
            while let Some(done) = calls.join_next().await {
                done.unwrap().unwrap();
            }
        });
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_nobody_waits_for_ends_in_the_database_too() {
    let test = store();
    let mut config = config(test.database.url());
    config.application_name = "gives-up".to_owned();
    let store = Store::connect(config);
    // Each of these hours is a statement of its own.
    test.sql(
        "INSERT INTO dirty_hours (hour) \
         SELECT generate_series(timestamptz '2025-06-01', '2026-06-01', '1 hour')",
    );
    let period = span("2025-06-01T00:00:00Z", "2026-06-01T00:00:00Z");
    let zone = test.zone;
    let begun = Instant::now();
    store.ad_stats(zone, ad(1), period).await.unwrap();
    let whole = begun.elapsed();

    let call = tokio::spawn(async move { store.ad_stats(zone, ad(1), period).await });
    let at_work = "SELECT count(*) > 0 FROM pg_stat_activity \
                   WHERE application_name = 'gives-up' AND state <> 'idle'";
    test.until(at_work).await;
    call.abort();
    let given_up = Instant::now();
    while test.sql(at_work).trim() == "t" {
        assert!(
            given_up.elapsed() < whole / 2,
            "it goes on; all of it takes {whole:?}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_statement_may_take_what_is_left_of_its_call() {
    let test = store();
    let mut config = config(test.database.url());
    config.call_timeout = Duration::from_millis(400);
    config.lock_timeout = Duration::from_secs(60);
    config.statement_timeout = Duration::from_secs(60);
    let store = Store::connect(config);
    store.ping().await.unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            test.database
                .psql("BEGIN; LOCK TABLE dirty_hours; SELECT pg_sleep(60)")
        });
        crate::support::blocking(async {
            test.until(HELD).await;
            let period = span("2026-06-01T00:00:00Z", "2026-06-02T00:00:00Z");
            store
                .all_stats(test.zone, period, None, 10)
                .await
                .unwrap_err();
            test.until(
                "SELECT NOT EXISTS (SELECT FROM pg_stat_activity \
                 WHERE wait_event_type = 'Lock' AND datname = current_database())",
            )
            .await;
            end_sleepers(&test);
        });
    });
}
