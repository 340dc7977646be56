//! Totals whose raw events are gone, by whatever hand, and what comes too late or too early for them.

use std::time::Duration;

use adtally_store::{BucketStatus, ClosedReason, Granularity, Measure, StatsSpan};

use crate::support::{TestStore, ad, at, blocking, click, impression, store, store_in, while_held};

const HOUR: &str = "2026-06-01T10:15:00Z";
const TOTALS: &str = "SELECT hour, ad_id, impressions, clicks FROM ad_hourly_stats \
                      UNION ALL SELECT day, ad_id, impressions, clicks FROM ad_daily_stats \
                      ORDER BY 1, 2, 3";

/// A store with ten impressions and a click of one hour that are rolled up, long ago.
async fn rolled_up(zone: &str) -> TestStore {
    let store = store_in(zone);
    let mut events: Vec<_> = (0..10).map(|_| impression(HOUR)).collect();
    events.push(click(HOUR));
    store.save(events).await;
    store.roll_up_all().await;
    store
}

fn letters(store: &TestStore) -> u64 {
    store.count("dead_letters WHERE reason = 'too_old' AND state = 'new'")
}

#[tokio::test]
async fn a_late_event_of_a_dropped_partition_changes_no_total() {
    let store = rolled_up("UTC").await;
    let totals = store.sql(TOTALS);
    store.sql("DROP TABLE events_20260601");

    let stored = store.save(vec![impression(HOUR)]).await;
    assert_eq!((stored.inserted(), stored.too_old), (0, 1));
    assert_eq!(letters(&store), 1);
    // A roll-up that somebody asks for all the same.
    let outcome = store.roll_up_hour(store.hour(HOUR)).await;
    assert_eq!((outcome.missing, outcome.changed()), (11, 0));
    store.roll_up_day("2026-06-01").await;
    assert_eq!(store.sql(TOTALS), totals);
    assert_eq!(store.count("restatements"), 0);

    let report = store.store.audit(store.zone).await.unwrap();
    assert!(!report.is_clean());
    assert_eq!(report.closed_hours.len(), 1);
    assert_eq!(
        report.closed_hours[0].reason,
        ClosedReason::PartitionMissing
    );
    assert_eq!(report.mismatches.len(), 1);
}

#[tokio::test]
async fn the_audit_names_a_partition_that_is_missing() {
    for zone in ["UTC", "Asia/Tehran"] {
        let store = rolled_up(zone).await;
        store.sql("DROP TABLE events_20260601");
        let report = store.store.audit(store.zone).await.unwrap();
        assert!(!report.is_clean());
        assert_eq!(report.missing_partitions, ["2026-06-01".parse().unwrap()]);
        assert_eq!(report.mismatches.len(), 1);
    }
}

#[tokio::test]
async fn hours_without_totals_of_a_dropped_day_go_on_counting() {
    let store = rolled_up("UTC").await;
    store.sql("DROP TABLE events_20260601");
    let other = "2026-06-01T18:00:00Z";
    let stored = store.save(vec![impression(HOUR), impression(other)]).await;
    assert_eq!((stored.inserted(), stored.too_old), (1, 1));
    store.roll_up_all().await;
    let day = store.sql("SELECT impressions, clicks FROM ad_daily_stats");
    assert_eq!(day.trim(), "11|1", "the kept hour and the new one");
}

#[tokio::test]
async fn a_late_event_of_an_hour_that_lost_rows_changes_no_total() {
    let store = rolled_up("UTC").await;
    let totals = store.sql(TOTALS);
    store.sql("DELETE FROM events WHERE event_id IN (SELECT event_id FROM events LIMIT 5)");

    // The loss shows when the hour is counted again.
    assert_eq!(store.save(vec![impression(HOUR)]).await.inserted(), 1);
    let outcome = store.roll_up_hour(store.hour(HOUR)).await;
    assert!(outcome.missing > 0, "{outcome:?}");
    assert_eq!(store.count("dirty_hours"), 0, "no sweep tries for ever");
    // From then on nothing is taken that could not be counted.
    let stored = store.save(vec![impression(HOUR)]).await;
    assert_eq!((stored.inserted(), stored.too_old), (0, 1));
    store.roll_up_all().await;
    assert_eq!(store.sql(TOTALS), totals);

    let report = store.store.audit(store.zone).await.unwrap();
    assert_eq!(report.closed_hours[0].start, at("2026-06-01T10:00:00Z"));
    assert_eq!(report.closed_hours[0].reason, ClosedReason::EventsMissing);
    assert_eq!(report.mismatches.len(), 1);
    assert_eq!(report.missing_partitions, []);
}

#[tokio::test]
async fn a_marked_hour_that_lost_rows_is_no_pending_one() {
    let store = rolled_up("UTC").await;
    store.sql("DELETE FROM events WHERE kind = 1");
    store.save(vec![impression(HOUR)]).await;
    let report = store.store.audit(store.zone).await.unwrap();
    assert_eq!(report.pending_hours.len(), 1);
    assert_eq!(report.mismatches.len(), 1, "no roll-up mends it");
    assert_eq!(report.mismatches[0].found[Measure::Clicks], 1);
}

#[tokio::test]
async fn an_hour_that_has_its_events_again_is_rebuilt() {
    let store = rolled_up("UTC").await;
    store.sql("CREATE TABLE kept AS SELECT * FROM events; DELETE FROM events WHERE kind = 0");
    let hour = store.hour(HOUR);
    assert_eq!(store.roll_up_hour(hour).await.missing, 10);
    store.sql("INSERT INTO events SELECT * FROM kept ON CONFLICT DO NOTHING");
    assert!(!store.store.audit(store.zone).await.unwrap().is_clean());
    assert_eq!(store.roll_up_hour(hour).await.missing, 0);
    assert!(store.store.audit(store.zone).await.unwrap().is_clean());
    assert_eq!(store.save(vec![impression(HOUR)]).await.inserted(), 1);
}

#[tokio::test]
async fn readers_never_see_less_while_a_late_event_waits_for_its_roll_up() {
    let store = rolled_up("UTC").await;
    store.sql("DELETE FROM events WHERE kind = 0");
    store.save(vec![impression(HOUR)]).await;
    for granularity in [Granularity::Hour, Granularity::Day] {
        let span = StatsSpan {
            granularity,
            from: at("2026-06-01T10:00:00Z"),
            to: at("2026-06-01T11:00:00Z"),
            final_after: Duration::from_secs(86_400),
        };
        let of_one = store.store.ad_stats(store.zone, ad(1), span);
        let of_all = store.store.all_stats(store.zone, span, None, 10);
        for row in [of_one.await.unwrap()[0], of_all.await.unwrap().rows[0]] {
            assert_eq!(
                (
                    row.counts.get(Measure::Impressions),
                    row.counts.get(Measure::Clicks)
                ),
                (10, 1),
                "{granularity:?}"
            );
        }
    }
    store.roll_up_all().await;
    let span = StatsSpan {
        granularity: Granularity::Hour,
        from: at(HOUR),
        to: at("2026-06-01T11:00:00Z"),
        final_after: Duration::from_secs(86_400),
    };
    let rows = store.store.ad_stats(store.zone, ad(1), span).await.unwrap();
    assert_eq!(
        (rows[0].counts.get(Measure::Impressions), rows[0].status),
        (10, BucketStatus::Final)
    );
}

#[tokio::test]
async fn a_day_whose_hours_are_gone_keeps_its_total_until_they_are_rebuilt() {
    let store = rolled_up("UTC").await;
    let totals = store.sql(TOTALS);
    store.sql("DELETE FROM ad_hourly_stats");
    let outcome = store.roll_up_day("2026-06-01").await;
    assert_eq!((outcome.missing, outcome.changed()), (11, 0));
    assert_eq!(
        store.sql("SELECT impressions FROM ad_daily_stats").trim(),
        "10"
    );
    assert!(!store.store.audit(store.zone).await.unwrap().is_clean());

    store.roll_up_hour(store.hour(HOUR)).await;
    store.roll_up_all().await;
    assert_eq!(store.sql(TOTALS), totals);
    assert!(store.store.audit(store.zone).await.unwrap().is_clean());
}

#[tokio::test]
async fn history_stands_when_the_note_of_what_was_dropped_is_lost() {
    let store = rolled_up("UTC").await;
    let totals = store.sql(TOTALS);
    let day = "2026-06-01".parse().unwrap();
    store
        .store
        .drop_partition(store.zone, day, Duration::ZERO)
        .await
        .unwrap();
    store.sql(
        "DELETE FROM settings WHERE key = 'raw_from'; DELETE FROM roll_ups; \
               DELETE FROM task_runs; DELETE FROM dead_letters; DELETE FROM schedule_runs",
    );
    assert_eq!(store.save(vec![impression(HOUR)]).await.too_old, 1);
    store.roll_up_hour(store.hour(HOUR)).await;
    store.roll_up_day("2026-06-01").await;
    assert_eq!(store.sql(TOTALS), totals);
}

#[tokio::test]
async fn a_detached_partition_is_missed_and_counts_once_it_is_back() {
    let store = rolled_up("UTC").await;
    store.sql("ALTER TABLE events DETACH PARTITION events_20260601");
    let late = impression(HOUR);
    assert_eq!(store.save(vec![late.clone()]).await.too_old, 1);
    let report = store.store.audit(store.zone).await.unwrap();
    assert_eq!(report.missing_partitions, ["2026-06-01".parse().unwrap()]);

    store.sql(
        "ALTER TABLE events ATTACH PARTITION events_20260601 FOR VALUES \
         FROM (adtally_day_floor('2026-06-01')) TO (adtally_day_floor('2026-06-02'))",
    );
    assert_eq!(store.save(vec![late]).await.inserted(), 1);
    store.roll_up_all().await;
    assert!(store.store.audit(store.zone).await.unwrap().is_clean());
    assert_eq!(letters(&store), 0, "the letter is settled");
}

#[test]
fn a_partition_whose_detaching_was_broken_off_is_missed_too() {
    let store = blocking(rolled_up("UTC"));
    // Another day's partition is there, and nobody is in the way of making more.
    blocking(store.save(vec![impression("2026-06-02T10:15:00Z")]));
    let detach = async {
        let detach = "SET statement_timeout = '1s'; \
                      ALTER TABLE events DETACH PARTITION events_20260601 CONCURRENTLY";
        store.database.psql(detach).unwrap_err();
    };
    while_held(&store, "SELECT count(*) FROM events", detach);
    assert_eq!(store.count("pg_inherits WHERE inhdetachpending"), 1);
    for event in [impression(HOUR), impression("2026-06-01T11:15:00Z")] {
        assert_eq!(blocking(store.save(vec![event])).too_old, 1);
    }
    let report = blocking(store.store.audit(store.zone)).unwrap();
    assert_eq!(report.missing_partitions, ["2026-06-01".parse().unwrap()]);
}

#[tokio::test]
async fn an_hour_that_lost_rows_before_its_first_roll_up_keeps_what_readers_saw() {
    // A mark of a build that does not say what it adds has the hour counted anew.
    for (mark, expected) in [("", 14), ("INSERT INTO dirty_hours (hour) VALUES ($)", 10)] {
        let store = rolled_up("UTC").await;
        let hour = store.hour(HOUR);
        // As it is once marks were taken into its totals while it ran.
        store.sql("DELETE FROM roll_ups");
        store.save((0..4).map(|_| impression(HOUR)).collect()).await;
        store.sql(&mark.replace('$', "'2026-06-01T10:00:00Z'"));
        store.sql("DELETE FROM events WHERE ad_id = 1");
        let outcome = store.roll_up_hour(hour).await;
        assert_eq!(outcome.missing, expected + 1, "and the click");
        store.roll_up_all().await;
        for table in ["ad_hourly_stats", "ad_daily_stats"] {
            let total = store.sql(&format!("SELECT impressions, clicks FROM {table}"));
            assert_eq!(total.trim(), format!("{expected}|1"), "{table}");
        }
        assert_eq!(store.count("closed_hours"), 1);
        // Another roll-up adds nothing twice.
        assert_eq!(store.roll_up_hour(hour).await.missing, expected + 1);
        let total = store.sql("SELECT impressions FROM ad_hourly_stats");
        assert_eq!(total.trim(), expected.to_string());
    }
}

#[tokio::test]
async fn an_hour_between_two_days_is_not_closed_for_its_other_day() {
    // The hour from 23:30 to 00:30 UTC has its only event in the second day.
    let store = store_in("Asia/Tehran");
    store.save(vec![impression("2026-06-02T00:10:00Z")]).await;
    store.roll_up_all().await;
    let stored = store.save(vec![impression("2026-06-01T23:40:00Z")]).await;
    assert_eq!((stored.inserted(), stored.too_old), (1, 0));
    store.roll_up_all().await;
    assert_eq!(
        store.sql("SELECT impressions FROM ad_hourly_stats").trim(),
        "2"
    );
}

#[tokio::test]
async fn the_totals_of_an_hour_that_runs_follow_its_events() {
    let store = store();
    let now = store.store.clock().await.unwrap();
    let hour = store.zone.hour_of(now);
    store
        .save(vec![impression(&now.to_string()), click(&now.to_string())])
        .await;
    store.roll_up_hour(hour).await;
    store.sql("DELETE FROM events WHERE kind = 1");
    assert_eq!(store.roll_up_hour(hour).await.missing, 0);
    assert_eq!(store.count("closed_hours"), 0);
    assert_eq!(
        store.save(vec![click(&now.to_string())]).await.inserted(),
        1
    );
}

#[tokio::test]
async fn times_that_no_clock_shows_are_dead_letters_and_make_no_partition() {
    let store = store();
    let now = store.store.clock().await.unwrap();
    let tomorrow = now.saturating_add_millis(86_400_000).to_string();
    let fourth = now.saturating_add_millis(4 * 86_400_000).to_string();
    let stored = store
        .save(vec![
            impression("1970-01-01T00:00:00Z"),
            impression(HOUR),
            impression(&tomorrow),
            impression(&fourth),
            impression("2028-01-04T10:00:00Z"),
            impression("9999-12-31T23:59:59.999Z"),
        ])
        .await;
    assert_eq!((stored.inserted(), stored.in_future), (3, 3));
    let letters = "dead_letters WHERE reason = 'in_future' AND state = 'new'";
    assert_eq!(store.count(letters), 3);
    let far = "pg_inherits WHERE inhparent = 'events'::regclass \
               AND inhrelid::regclass::text > 'events_2027'";
    assert_eq!(store.count(far), 0);

    // 1970 is in time unless the raw events of then were dropped.
    store.roll_up_all().await;
    let day = "1970-01-01".parse().unwrap();
    store
        .store
        .drop_partition(store.zone, day, Duration::ZERO)
        .await
        .unwrap();
    let stored = store.save(vec![impression("1970-01-01T00:00:00Z")]).await;
    assert_eq!((stored.inserted(), stored.too_old), (0, 1));
}

#[tokio::test]
async fn no_function_of_ours_is_for_everybody() {
    let store = store();
    let public = "SELECT proname FROM pg_proc, \
                  LATERAL aclexplode(coalesce(proacl, acldefault('f', proowner))) AS acl \
                  WHERE pronamespace = 'public'::regnamespace AND proname !~ '^diesel_' \
                  AND grantee = 0 AND privilege_type = 'EXECUTE'";
    assert_eq!(store.sql(public).trim(), "");
    let ours = "pg_proc WHERE pronamespace = 'public'::regnamespace AND proname ~ '^adtally_'";
    assert!(store.count(ours) >= 3);
}

#[tokio::test]
async fn a_partition_is_made_at_most_a_month_ahead() {
    let store = store();
    let today = store
        .store
        .clock()
        .await
        .unwrap()
        .to_datetime()
        .date_naive();
    for (days, made) in [(31, 1), (32, 0), (40_000, 0)] {
        let day = today + chrono::Days::new(days);
        assert_eq!(
            store.store.ensure_partitions(day, day).await.unwrap(),
            made,
            "{day}"
        );
    }
}
