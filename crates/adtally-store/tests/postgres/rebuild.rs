//! Totals made anew on demand: a range of them, or all of them in another zone.

use std::time::Duration;

use adtally_domain::{ReportingZone, Timestamp};
use adtally_store::{Measure, StatsSpan, StoreError};

use crate::support::{TestStore, ad, at, blocking, click, impression, store, while_held};

async fn with_three_days() -> TestStore {
    let store = store();
    let times = [
        "2026-06-01T10:15:00Z",
        "2026-06-01T22:00:00Z",
        "2026-06-02T00:30:00Z",
        "2026-06-03T23:59:59.999Z",
    ];
    store.save(times.map(impression).into()).await;
    store.save(times.map(click).into()).await;
    store.roll_up_all().await;
    store
}

#[tokio::test]
async fn a_range_is_marked_and_nothing_beside_it() {
    let store = with_three_days().await;
    let (from, to) = (at("2026-06-01T10:30:00Z"), at("2026-06-02T01:00:00Z"));
    let marked = store.store.mark_range(store.zone, from, to).await.unwrap();
    assert_eq!(marked.hours.first(), Some(&at("2026-06-01T10:00:00Z")));
    assert_eq!(marked.hours.last(), Some(&at("2026-06-02T00:00:00Z")));
    assert_eq!((marked.hours.len(), marked.days.len()), (15, 2));

    store.sql("DELETE FROM ad_hourly_stats WHERE hour = '2026-06-01T10:00:00Z'");
    store.sql("UPDATE ad_daily_stats SET clicks = 1 WHERE day = '2026-06-01'");
    store.roll_up_all().await;
    assert!(store.store.audit(store.zone).await.unwrap().is_clean());
}

#[tokio::test]
async fn what_runs_or_was_dropped_is_not_marked() {
    let store = with_three_days().await;
    let now = store.store.clock().await.unwrap();
    store.save(vec![impression(&now.to_string())]).await;
    let (day, zero) = ("2026-06-01".parse().unwrap(), Duration::ZERO);
    let raw_from = store
        .store
        .drop_partition(store.zone, day, zero)
        .await
        .unwrap();
    let marked = store
        .store
        .mark_range(store.zone, Timestamp::EPOCH, Timestamp::MAX);
    let marked = marked.await.unwrap();
    assert_eq!(marked.raw_from, Some(raw_from));
    assert!(marked.hours.iter().all(|hour| raw_from <= *hour));
    assert!(!marked.hours.contains(&store.zone.hour_of(now).start));
    assert!(!marked.days.contains(&day));
    assert!(!marked.days.contains(&now.to_datetime().date_naive()));
}

#[tokio::test]
async fn another_zone_has_totals_of_its_own_from_the_same_events() {
    let mut store = with_three_days().await;
    store.store.claim_zone(Some(store.zone)).await.unwrap();
    let now = store.store.clock().await.unwrap().to_string();
    store.save(vec![impression(&now)]).await;
    let before = store.tables();
    let tehran: ReportingZone = "Asia/Tehran".parse().unwrap();

    let planned = store.store.change_zone(tehran, true).await.unwrap();
    assert_eq!(store.tables(), before, "a dry run changes nothing");
    assert_eq!(store.store.zone().await.unwrap(), Some(store.zone));
    let done = store.store.change_zone(tehran, false).await.unwrap();
    assert_eq!(
        (done.before, done.hours, done.days),
        (store.zone, planned.hours, planned.days)
    );

    // Whoever still reports in the zone before is refused, and stores nothing.
    let refused = store
        .try_save(vec![impression("2026-06-01T10:15:00Z")])
        .await;
    assert!(
        matches!(refused, Err(StoreError::ZoneMismatch { .. })),
        "{refused:?}"
    );
    assert_eq!(store.count("events"), 9);

    store.zone = tehran;
    let span = StatsSpan {
        granularity: adtally_store::Granularity::Day,
        from: at("2026-05-31T20:30:00Z"),
        to: at("2026-06-04T20:30:00Z"),
        final_after: Duration::ZERO,
    };
    let days = async || {
        let rows = store.store.ad_stats(tehran, ad(1), span).await.unwrap();
        rows.iter()
            .map(|row| row.counts.get(Measure::Impressions))
            .collect::<Vec<_>>()
    };
    // 22:00 and 00:30 UTC are both of June 2nd in Tehran, and 23:59 of the 3rd is of the 4th.
    let expected = [1, 2, 0, 1];
    assert_eq!(days().await, expected, "counted live at first");
    store.roll_up_all().await;
    assert_eq!(days().await, expected);
    let report = store.store.audit(tehran).await.unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(report.hours_checked, 4);
    assert_eq!(store.count("ad_daily_stats WHERE day < '2026-06-10'"), 3);
}

#[tokio::test]
async fn a_zone_is_not_changed_where_raw_events_are_gone() {
    let tehran: ReportingZone = "Asia/Tehran".parse().unwrap();
    for loss in [
        "DROP TABLE events_20260602",
        "DELETE FROM events WHERE kind = 1",
        "INSERT INTO settings VALUES ('raw_from', '2026-06-02T00:00:00Z')",
    ] {
        let store = with_three_days().await;
        store.sql(loss);
        let before = store.tables();
        let refused = store.store.change_zone(tehran, false).await;
        assert!(
            matches!(refused, Err(StoreError::RawGone(_))),
            "{loss}: {refused:?}"
        );
        assert_eq!(store.tables(), before, "{loss}");
    }
}

#[test]
fn a_zone_is_not_changed_where_raw_events_go_after_the_audit() {
    let tehran: ReportingZone = "Asia/Tehran".parse().unwrap();
    for loss in [
        "INSERT INTO settings VALUES ('raw_from', '2026-06-02T00:00:00Z')",
        "INSERT INTO closed_hours (hour, reason) VALUES ('2026-06-01T10:00:00Z', 'events_missing')",
    ] {
        let store = blocking(with_three_days());
        let before = store.tables();
        // The audit goes by this lock, and the change waits for it.
        let lock = "LOCK TABLE ONLY events IN ACCESS SHARE MODE";
        let lose = async {
            let waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted \
                         AND relation = 'events'::regclass AND mode = 'AccessExclusiveLock')";
            store.until(waits).await;
            store.sql(loss);
            store.let_go();
        };
        let change = async { tokio::join!(store.store.change_zone(tehran, false), lose).0 };
        let refused = while_held(&store, lock, change);
        assert!(
            matches!(refused, Err(StoreError::RawGone(_))),
            "{loss}: {refused:?}"
        );
        assert_eq!(store.tables(), before, "{loss}");
    }
}
