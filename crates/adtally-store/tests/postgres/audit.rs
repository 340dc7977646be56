use std::time::Duration;

use adtally_store::{Counts, Granularity, Measure, Mismatch, Store};

use crate::support::{ad, at, click, config, impression, store, store_in};

const HOUR: &str = "2026-06-01T10:15:00Z";

#[tokio::test]
async fn a_healthy_database_has_no_mismatch() {
    let store = store_in("Asia/Tehran");
    let now = store.store.clock().await.unwrap().to_string();
    store
        .save(vec![
            impression(HOUR),
            click("2026-06-02T23:59:59Z"),
            impression(&now),
        ])
        .await;
    store.roll_up_all().await;
    store.save(vec![impression(&now)]).await;
    let report = store.store.audit(store.zone).await.unwrap();
    assert_eq!(report.mismatches, []);
    assert_eq!((report.hours_checked, report.days_checked), (2, 2));
    assert_eq!(report.pending_hours, [], "the hour that runs is not over");
}

#[tokio::test]
async fn a_wrong_hour_is_found() {
    let store = store();
    store.save(vec![impression(HOUR)]).await;
    store.roll_up_all().await;
    store.sql("UPDATE ad_hourly_stats SET impressions = 5; UPDATE ad_daily_stats SET clicks = 2");
    let found = store.store.audit(store.zone).await.unwrap().mismatches;
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].granularity, Granularity::Hour);
    assert_eq!(found[0].start, at("2026-06-01T10:00:00Z"));
    assert_eq!(found[0].ad_id, Some(ad(1)));
    let impressions = |found: &Mismatch| {
        let of = |counts: Counts| counts[Measure::Impressions];
        (of(found.expected), of(found.found))
    };
    assert_eq!(impressions(&found[0]), (1, 5));
    assert_eq!(found[1].granularity, Granularity::Day);
    let clicks = Measure::Clicks;
    assert_eq!((found[1].expected[clicks], found[1].found[clicks]), (0, 2));
    assert_eq!(impressions(&found[1]), (5, 1));
}

#[tokio::test]
async fn rows_that_are_missing_or_belong_to_nothing_are_found() {
    let store = store_in("Asia/Tehran");
    store.save(vec![impression(HOUR)]).await;
    store.roll_up_all().await;
    store.sql("DELETE FROM ad_hourly_stats; DELETE FROM ad_daily_stats");
    store.sql("INSERT INTO ad_hourly_stats VALUES ('2026-06-01T11:00:00Z', 3, 1, 0, now())");
    let found = store.store.audit(store.zone).await.unwrap().mismatches;
    let starts: Vec<String> = found.iter().map(|m| m.start.to_string()).collect();
    let expected = [
        "2026-06-01T09:30:00Z",
        "2026-06-01T11:00:00Z",
        "2026-05-31T20:30:00Z",
    ];
    assert_eq!(starts, expected);
}

#[tokio::test]
async fn a_marked_bucket_is_pending_and_no_mismatch() {
    let store = store();
    store.save(vec![impression(HOUR)]).await;
    store.roll_up_all().await;
    store.save(vec![impression(HOUR)]).await;
    let report = store.store.audit(store.zone).await.unwrap();
    assert_eq!(report.mismatches, []);
    assert_eq!(report.pending_hours, [store.hour(HOUR)]);
    assert_eq!(report.pending_days.len(), 1);

    store.roll_up_hour(store.hour(HOUR)).await;
    let report = store.store.audit(store.zone).await.unwrap();
    assert_eq!((report.mismatches, report.pending_hours), (vec![], vec![]));
    assert_eq!(report.pending_days.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_may_take_as_long_as_a_roll_up() {
    let store = store();
    store.save(vec![impression(HOUR)]).await;
    store.roll_up_all().await;
    let mut config = config(store.database.url());
    config.statement_timeout = Duration::from_millis(100);
    let brief = Store::connect(config);
    brief.ping().await.unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| store.sql("BEGIN; LOCK TABLE ad_daily_stats; SELECT pg_sleep(1); COMMIT"));
        crate::support::blocking(async {
            let held = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep' \
                        AND datname = current_database())";
            store.until(held).await;
            let report = brief.audit(store.zone).await.unwrap();
            assert_eq!(report.mismatches, []);
        });
    });
}

#[tokio::test]
async fn dead_letters_are_counted_by_reason_and_state() {
    let store = store();
    let mut refused = impression(HOUR);
    refused.placement = Some("\0".to_owned());
    store.save(vec![refused]).await;
    let report = store.store.audit(store.zone).await.unwrap();
    assert_eq!(report.dead_letters.len(), 1);
    assert_eq!(report.dead_letters[0].reason, "invalid_event");
    assert_eq!(report.dead_letters[0].count, 1);
}

#[tokio::test]
async fn an_empty_database_is_healthy() {
    let store = store();
    let report = store.store.audit(store.zone).await.unwrap();
    assert_eq!((report.hours_checked, report.mismatches), (0, vec![]));
}

#[tokio::test]
async fn years_without_events_are_passed_over() {
    let store = store_in("Asia/Tehran");
    store
        .save(vec![impression("1975-06-01T00:00:00Z"), impression(HOUR)])
        .await;
    store.roll_up_all().await;
    store.sql("UPDATE ad_daily_stats SET clicks = 1 WHERE day = '1975-06-01'");
    let report = store.store.audit(store.zone).await.unwrap();
    assert_eq!((report.hours_checked, report.days_checked), (2, 2));
    assert_eq!(report.mismatches.len(), 1);
}
