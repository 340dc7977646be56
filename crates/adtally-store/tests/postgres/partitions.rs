use std::time::Duration;

use adtally_store::StoreError;
use chrono::NaiveDate;

use super::{store, store_in};
use crate::support::{at, click, impression};

fn date(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

#[tokio::test]
async fn events_make_the_partitions_of_their_utc_days() {
    let store = store_in("Asia/Tehran");
    store
        .save(vec![
            impression("2026-06-01T23:59:59.999Z"),
            impression("2026-06-02T00:00:00Z"),
            impression("1970-01-01T00:00:00Z"),
        ])
        .await;
    let rows = store.sql("SELECT tableoid::regclass FROM events ORDER BY event_id");
    let days = ["19700101", "20260601", "20260602"];
    assert_eq!(
        rows.trim(),
        days.map(|day| format!("events_{day}")).join("\n")
    );
}

#[tokio::test]
async fn coming_days_are_made_ready_and_made_once() {
    let store = store();
    let (first, last) = (date("2026-06-28"), date("2026-07-04"));
    for _ in 0..2 {
        assert_eq!(store.store.ensure_partitions(first, last).await.unwrap(), 7);
    }
    assert_eq!(
        store.count("pg_inherits WHERE inhparent = 'events'::regclass"),
        7
    );
    let checks = "pg_constraint WHERE conname = 'partition_bounds'";
    assert_eq!(store.count(checks), 0, "the helping constraint is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_processes_make_one_partition_at_once() {
    let store = store();
    for day in date("2026-06-01").iter_days().take(20) {
        let ensure = || store.store.ensure_partitions(day, day);
        let made = tokio::join!(ensure(), ensure(), ensure(), ensure(), ensure(), ensure());
        for made in [made.0, made.1, made.2, made.3, made.4, made.5] {
            assert_eq!(made.unwrap(), 1);
        }
    }
}

#[tokio::test]
async fn a_partition_is_made_while_others_write_and_read() {
    let store = store();
    store.save(vec![impression("2026-06-01T10:00:00Z")]).await;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            store.sql(
                "BEGIN; UPDATE events SET source = 'busy'; SELECT count(*) FROM events; \
                 SELECT pg_advisory_lock(7); SELECT pg_sleep(1); COMMIT",
            )
        });
        crate::support::blocking(async {
            let busy = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' \
                        AND objid = 7 AND granted)";
            store.until(busy).await;
            store.save(vec![impression("2026-06-02T10:00:00Z")]).await;
            assert_eq!(store.sql(busy).trim(), "t", "it did not wait for the other");
        });
    });
}

#[tokio::test]
async fn a_partition_dropped_behind_the_stores_back_is_made_again() {
    let store = store();
    let event = impression("2026-06-01T10:00:00Z");
    store.save(vec![event.clone()]).await;
    store.sql("DROP TABLE events_20260601");
    assert_eq!(store.save(vec![event]).await.inserted(), 1);
}

#[tokio::test]
async fn dropping_raw_events_keeps_every_total() {
    let store = store();
    store
        .save(vec![
            impression("2026-06-01T10:00:00Z"),
            click("2026-06-02T10:00:00Z"),
            impression("2026-06-03T10:00:00Z"),
        ])
        .await;
    store.roll_up_all().await;
    let totals = "SELECT hour, ad_id, impressions, clicks FROM ad_hourly_stats ORDER BY 1, 2";
    let (hourly, before) = (store.sql(totals), store.tables());

    let raw_from = store
        .store
        .drop_partition(store.zone, date("2026-06-02"), Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(raw_from, at("2026-06-03T00:00:00Z"));
    assert_eq!(store.store.raw_from().await.unwrap(), Some(raw_from));
    assert_eq!(store.count("events"), 1);
    assert_eq!(store.sql(totals), hourly);
    assert_ne!(store.tables(), before);

    // Neither a roll-up nor the audit touches what cannot be recomputed.
    let closed = store.roll_up_hour(store.hour("2026-06-01T10:00:00Z")).await;
    assert!(closed.closed && closed.changed() == 0);
    assert!(store.roll_up_day("2026-06-02").await.closed);
    assert!(!store.roll_up_day("2026-06-03").await.closed);
    assert_eq!(store.sql(totals), hourly);
    let report = store.store.audit(store.zone).await.unwrap();
    assert_eq!(report.raw_from, Some(raw_from));
    assert_eq!(report.mismatches, []);
}

#[tokio::test]
async fn an_event_of_a_closed_hour_becomes_a_dead_letter_too_old() {
    let store = store_in("Asia/Tehran");
    store.save(vec![impression("2026-06-01T10:00:00Z")]).await;
    store.roll_up_all().await;
    let raw_from = store
        .store
        .drop_partition(store.zone, date("2026-06-01"), Duration::ZERO)
        .await
        .unwrap();
    // The first hour of Tehran that has all its events begins at half past.
    assert_eq!(raw_from, at("2026-06-02T00:30:00Z"));

    let stored = store
        .save(vec![
            impression("2026-06-01T10:00:00Z"),
            impression("2026-06-02T00:29:59.999Z"),
            impression("2026-06-02T00:30:00Z"),
        ])
        .await;
    assert_eq!((stored.inserted(), stored.too_old), (1, 2));
    let letters = "dead_letters WHERE reason = 'too_old' AND state = 'new'";
    assert_eq!(store.count(letters), 2);
    assert_eq!(store.count("events"), 1);
    let days = "SELECT relid FROM pg_partition_tree('events') WHERE isleaf";
    assert_eq!(store.sql(days).trim(), "events_20260602");
}

#[tokio::test]
async fn raw_events_that_are_still_needed_are_not_dropped() {
    let store = store();
    store.save(vec![impression("2026-06-01T10:00:00Z")]).await;
    let drop = || {
        store
            .store
            .drop_partition(store.zone, date("2026-06-01"), Duration::ZERO)
    };
    let error = drop().await.unwrap_err();
    assert!(matches!(error, StoreError::StillNeeded(_)), "{error}");
    assert_eq!(store.count("events"), 1);
    store.roll_up_hour(store.hour("2026-06-01T10:00:00Z")).await;
    let error = drop().await.unwrap_err();
    assert!(error.to_string().contains("the day 2026-06-01"), "{error}");
    store.roll_up_all().await;
    drop().await.unwrap();
    assert_eq!(
        store.sql("SELECT impressions FROM ad_daily_stats").trim(),
        "1"
    );

    let today = store
        .store
        .clock()
        .await
        .unwrap()
        .to_datetime()
        .date_naive();
    let error = store
        .store
        .drop_partition(store.zone, today, Duration::ZERO)
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::StillNeeded(_)), "{error}");
}

#[tokio::test]
async fn raw_from_never_moves_back() {
    let store = store();
    let later = store
        .store
        .drop_partition(store.zone, date("2026-06-05"), Duration::ZERO)
        .await
        .unwrap();
    let earlier = store
        .store
        .drop_partition(store.zone, date("2026-06-01"), Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(later, earlier);
    assert_eq!(store.store.raw_from().await.unwrap(), Some(later));
}
