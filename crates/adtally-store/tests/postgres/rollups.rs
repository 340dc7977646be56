use adtally_store::RollUp;

use crate::support::{ad, click, impression, store, store_in, task};

const HOUR: &str = "2026-06-01T10:15:00Z";

#[tokio::test]
async fn an_hour_counts_its_own_events_and_both_edges_once() {
    let store = store();
    let mut other_ad = impression("2026-06-01T10:30:00Z");
    other_ad.ad_id = ad(2);
    store
        .save(vec![
            impression("2026-06-01T09:59:59.999Z"),
            impression("2026-06-01T10:00:00Z"),
            click("2026-06-01T10:59:59.999Z"),
            click("2026-06-01T11:00:00Z"),
            other_ad,
        ])
        .await;
    let outcome = store.roll_up_hour(store.hour(HOUR)).await;
    assert_eq!(outcome.written, 2);
    let rows = store.sql("SELECT ad_id, impressions, clicks FROM ad_hourly_stats ORDER BY ad_id");
    assert_eq!(rows.trim(), "1|1|1\n2|1|0");
    let marked = store.sql("SELECT hour AT TIME ZONE 'UTC' FROM dirty_hours ORDER BY hour");
    assert_eq!(marked.trim(), "2026-06-01 09:00:00\n2026-06-01 11:00:00");
}

#[tokio::test]
async fn a_second_roll_up_writes_no_row() {
    let store = store();
    store.save(vec![impression(HOUR), click(HOUR)]).await;
    let hour = store.hour(HOUR);
    assert_eq!(store.roll_up_hour(hour).await.written, 1);
    assert_eq!(store.roll_up_day("2026-06-01").await.written, 1);

    let rows = "SELECT xmin, ctid, * FROM ad_hourly_stats; \
                SELECT xmin, ctid, * FROM ad_daily_stats; SELECT xmin, ctid, * FROM roll_ups";
    let before = store.sql(rows);
    for _ in 0..2 {
        assert_eq!(store.roll_up_hour(hour).await, RollUp::default());
        assert_eq!(store.roll_up_day("2026-06-01").await, RollUp::default());
    }
    assert_eq!(store.sql(rows), before);
    assert_eq!(
        store.count("dirty_days"),
        0,
        "an unchanged hour marks no day"
    );
}

#[tokio::test]
async fn a_mark_from_before_the_zones_rules_changed_goes_with_its_hour() {
    let store = store();
    store.save(vec![impression(HOUR)]).await;
    store.sql(
        "INSERT INTO dirty_hours (hour) VALUES ('2026-06-01T09:59:59Z'), ('2026-06-01T10:30:00Z'), \
         ('2026-06-01T11:00:00Z')",
    );
    store.roll_up_hour(store.hour(HOUR)).await;
    let marked = store.sql("SELECT hour AT TIME ZONE 'UTC' FROM dirty_hours ORDER BY hour");
    assert_eq!(marked.trim(), "2026-06-01 09:59:59\n2026-06-01 11:00:00");
}

#[tokio::test]
async fn a_late_event_restates_its_hour_and_day() {
    let store = store();
    store.save(vec![impression(HOUR)]).await;
    store.roll_up_all().await;
    assert_eq!(
        store.count("restatements"),
        0,
        "the first roll-up restates nothing"
    );

    store.save(vec![click("2026-06-01T10:59:00Z")]).await;
    store.roll_up_all().await;
    let rows = store.sql(
        "SELECT granularity, bucket_start AT TIME ZONE 'UTC', ad_id, old_impressions, \
         new_impressions, old_clicks, new_clicks FROM restatements ORDER BY id",
    );
    let expected = [
        "hour|2026-06-01 10:00:00|1|1|1|0|1",
        "day|2026-06-01 00:00:00|1|1|1|0|1",
    ];
    assert_eq!(rows.trim(), expected.join("\n"));
}

#[tokio::test]
async fn a_day_that_overtakes_its_hours_is_restated_by_none_of_them() {
    let store = store();
    let last = "2026-06-01T23:15:00Z";
    store.save(vec![impression(HOUR), impression(last)]).await;
    store.roll_up_hour(store.hour(HOUR)).await;
    assert_eq!(store.roll_up_day("2026-06-01").await.written, 1);
    store.roll_up_all().await;
    let total = store.sql("SELECT impressions FROM ad_daily_stats");
    assert_eq!(total.trim(), "2");
    assert_eq!(store.count("restatements"), 0);

    store.save(vec![click(HOUR)]).await;
    // Closed once, it is restated by whatever comes later, in whatever order.
    store.roll_up_day("2026-06-01").await;
    store.roll_up_all().await;
    assert_eq!(store.count("restatements"), 2);
}

#[tokio::test]
async fn an_hour_that_is_not_over_is_restated_by_nothing() {
    let store = store();
    let now = store.store.clock().await.unwrap();
    let hour = store.zone.hour_of(now);
    for _ in 0..2 {
        store.save(vec![impression(&now.to_string())]).await;
        store.roll_up_hour(hour).await;
    }
    assert_eq!(store.count("restatements"), 0);
    assert_eq!(store.count("roll_ups"), 0);
}

#[tokio::test]
async fn an_ad_whose_events_vanished_from_an_hour_that_runs_loses_its_row() {
    let store = store();
    let now = store.store.clock().await.unwrap();
    let hour = store.zone.hour_of(now);
    let mut other = impression(&now.to_string());
    other.ad_id = ad(2);
    store.save(vec![impression(&now.to_string()), other]).await;
    store.roll_up_hour(hour).await;

    store.sql("DELETE FROM events WHERE ad_id = 2");
    let outcome = store.roll_up_hour(hour).await;
    assert_eq!((outcome.deleted, outcome.written), (1, 0));
    assert_eq!(store.sql("SELECT ad_id FROM ad_hourly_stats").trim(), "1");
}

#[tokio::test]
async fn a_finished_task_never_has_its_effect_again() {
    let store = store();
    let hour = store.hour(HOUR);
    let once = task("adtally.aggregate_hour");
    let roll_up = || store.store.roll_up_hour(once.clone(), store.zone, hour);
    store.save(vec![impression(HOUR)]).await;
    assert_eq!(roll_up().await.unwrap().written, 1);

    store.save(vec![impression(HOUR)]).await;
    assert!(roll_up().await.unwrap().already_done);
    assert_eq!(
        store.sql("SELECT impressions FROM ad_hourly_stats").trim(),
        "1"
    );
    assert_eq!(
        store.count("dirty_hours"),
        1,
        "the mark waits for another task"
    );

    assert!(store.store.requeue_task(once.task_id).await.unwrap());
    assert_eq!(roll_up().await.unwrap().written, 1);
}

#[tokio::test]
async fn a_tehran_day_is_the_sum_of_its_own_hours() {
    let store = store_in("Asia/Tehran");
    // The day of June 1st lasts from 20:30 to 20:30 UTC.
    let inside = [
        "2026-05-31T20:30:00Z",
        "2026-06-01T00:10:00Z",
        "2026-06-01T20:29:59.999Z",
    ];
    let outside = ["2026-05-31T20:29:59.999Z", "2026-06-01T20:30:00Z"];
    store.save(inside.map(impression).into()).await;
    store.save(outside.map(impression).into()).await;
    store.roll_up_all().await;

    let hours = store.sql("SELECT DISTINCT extract(minute FROM hour)::int FROM ad_hourly_stats");
    assert_eq!(hours.trim(), "30");
    let days = store.sql("SELECT day, impressions FROM ad_daily_stats ORDER BY day");
    assert_eq!(days.trim(), "2026-05-31|1\n2026-06-01|3\n2026-06-02|1");
    let report = store.store.audit(store.zone).await.unwrap();
    assert_eq!(report.mismatches, []);
}

#[tokio::test]
async fn days_of_23_and_25_hours_and_half_hours_add_up() {
    for (zone, from, hours, dates) in [
        ("Europe/Berlin", "2026-03-28T23:00:00Z", 23, "2026-03-29"),
        ("Europe/Berlin", "2025-10-25T22:00:00Z", 25, "2025-10-26"),
        (
            "Australia/Lord_Howe",
            "2026-04-04T13:00:00Z",
            25,
            "2026-04-05",
        ),
        ("Asia/Kathmandu", "2026-03-28T18:15:00Z", 24, "2026-03-29"),
    ] {
        let store = store_in(zone);
        let day = store.zone.day(dates.parse().unwrap()).unwrap();
        assert_eq!(day.start.to_string(), from);
        let events = store
            .zone
            .hours(day.start, day.end)
            .map(|hour| hour.start.to_string());
        let events: Vec<_> = events.map(|start| impression(&start)).collect();
        assert_eq!(events.len(), hours, "{zone} {dates}");
        store.save(events).await;
        store.roll_up_all().await;
        let days = store.sql("SELECT day, impressions FROM ad_daily_stats");
        assert_eq!(days.trim(), format!("{dates}|{hours}"), "{zone}");
        assert_eq!(store.count("ad_hourly_stats"), hours as u64);
    }
}
