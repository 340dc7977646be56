//! Totals of hours that still change: exact at any instant, and as cheap as what came last.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use adtally_domain::{Event, EventId, EventKind, Timestamp};
use adtally_store::{Granularity, Measure, StatsSpan, StoreError};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::support::{TestStore, ad, impression, store_in, task};

const HOUR_MILLIS: i64 = 3_600_000;
const ADS: i64 = 5;

/// Impressions and clicks by hour and ad.
type Counts = BTreeMap<(Timestamp, i64), (u64, u64)>;

fn event(time: Timestamp, ad_id: i64, is_click: bool) -> Event {
    Event {
        id: EventId::v7(time, rand_bytes()),
        ad_id: ad(ad_id),
        kind: if is_click {
            EventKind::Click
        } else {
            EventKind::Impression
        },
        ..impression("2026-06-01T10:00:00Z")
    }
}

/// Bytes that no other event has.
fn rand_bytes() -> [u8; 10] {
    let mut bytes = [0; 10];
    bytes.copy_from_slice(&uuid::Uuid::now_v7().as_bytes()[6..]);
    bytes
}

/// The events by hour and ad, counted without any of the store's code.
fn counted(store: &TestStore) -> Counts {
    let rows = store.sql(
        "SELECT ('x' || substr(replace(event_id::text, '-', ''), 1, 12))::bit(48)::bigint, ad_id, kind \
         FROM events",
    );
    let mut counts = Counts::new();
    for row in rows.lines() {
        let numbers: Vec<i64> = row.split('|').map(|n| n.trim().parse().unwrap()).collect();
        let hour = store
            .zone
            .hour_of(Timestamp::from_millis(numbers[0]).unwrap());
        let count = counts.entry((hour.start, numbers[1])).or_default();
        if numbers[2] == 0 {
            count.0 += 1
        } else {
            count.1 += 1
        }
    }
    counts
}

fn span(granularity: Granularity, now: Timestamp) -> StatsSpan {
    StatsSpan {
        granularity,
        from: now.saturating_add_millis(-4 * HOUR_MILLIS),
        to: now.saturating_add_millis(2 * HOUR_MILLIS),
        final_after: Duration::from_secs(86_400),
    }
}

/// What readers are told: hours of all ads page by page, hours of each ad, and days of each ad.
async fn told(store: &TestStore, now: Timestamp) -> (Counts, Counts, Counts) {
    let (mut all, mut each, mut days) = (Counts::new(), Counts::new(), Counts::new());
    let mut after = None;
    loop {
        let hours = span(Granularity::Hour, now);
        let page = store
            .store
            .all_stats(store.zone, hours, after, 3)
            .await
            .unwrap();
        for row in page.rows {
            let counts = (
                row.counts.get(Measure::Impressions),
                row.counts.get(Measure::Clicks),
            );
            let twice = all.insert((row.start, row.ad_id.get()), counts);
            assert_eq!(twice, None, "a row on two pages");
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    for ad_id in 1..=ADS {
        for (granularity, counts) in [
            (Granularity::Hour, &mut each),
            (Granularity::Day, &mut days),
        ] {
            let span = span(granularity, now);
            let rows = store
                .store
                .ad_stats(store.zone, ad(ad_id), span)
                .await
                .unwrap();
            for row in rows.into_iter().filter(|row| {
                row.counts.get(Measure::Impressions) + row.counts.get(Measure::Clicks) > 0
            }) {
                counts.insert(
                    (row.start, ad_id),
                    (
                        row.counts.get(Measure::Impressions),
                        row.counts.get(Measure::Clicks),
                    ),
                );
            }
        }
    }
    (all, each, days)
}

async fn check(store: &TestStore, now: Timestamp, done: &[Step]) {
    let (all, each, days) = told(store, now).await;
    let hours = counted(store);
    let mut of_days = Counts::new();
    for ((hour, ad_id), (impressions, clicks)) in &hours {
        let day = store.zone.day_of(*hour).start;
        let sum = of_days.entry((day, *ad_id)).or_default();
        (sum.0, sum.1) = (sum.0 + impressions, sum.1 + clicks);
    }
    assert_eq!(all, hours, "of all ads after {done:?}");
    assert_eq!(each, hours, "of each ad after {done:?}");
    assert_eq!(days, of_days, "of days after {done:?}");
}

/// What may happen to an hour, as many hours from now as is said.
#[derive(Debug, Clone)]
enum Step {
    Store(Vec<(i64, i64, bool)>),
    /// By a build that does not say what its mark adds.
    StoreAsBefore(i64, i64),
    CountOpenHours,
    RollUpHour(i64),
    RollUpDay,
}

fn step() -> impl Strategy<Value = Step> {
    let hour = || -3_i64..=1;
    let events = prop::collection::vec((hour(), 1..=ADS, any::<bool>()), 1..12);
    prop_oneof![
        4 => events.prop_map(Step::Store),
        1 => (hour(), 1..=ADS).prop_map(|(hour, ad_id)| Step::StoreAsBefore(hour, ad_id)),
        3 => Just(Step::CountOpenHours),
        2 => hour().prop_map(Step::RollUpHour),
        1 => Just(Step::RollUpDay),
    ]
}

async fn take(store: &TestStore, now: Timestamp, step: &Step) {
    let at = |hour: i64| {
        let within = i64::try_from(uuid::Uuid::now_v7().as_u64_pair().1 % 1_000_000).unwrap();
        now.saturating_add_millis(hour * HOUR_MILLIS - within)
    };
    match step {
        Step::Store(events) => {
            let events = events
                .iter()
                .map(|(hour, ad, click)| event(at(*hour), *ad, *click));
            store.save(events.collect()).await;
        }
        Step::StoreAsBefore(hour, ad_id) => {
            let event = event(at(*hour), *ad_id, false);
            let start = store.zone.hour_of(event.id.time()).start.to_datetime();
            let day = event.id.time().to_datetime().date_naive();
            store.sql(&format!(
                "SELECT adtally_ensure_partition('{day}'); BEGIN; \
                 INSERT INTO events (event_id, ad_id, kind, received_at) \
                 VALUES ('{}', {ad_id}, 0, now()); \
                 INSERT INTO dirty_hours (hour) VALUES ('{}'); COMMIT",
                event.id.as_uuid(),
                start.to_rfc3339()
            ));
        }
        Step::CountOpenHours => {
            store.store.count_open_hours(store.zone).await.unwrap();
        }
        Step::RollUpHour(hour) => {
            let hour = store
                .zone
                .hour_of(now.saturating_add_millis(hour * HOUR_MILLIS));
            store.roll_up_hour(hour).await;
        }
        Step::RollUpDay => {
            let day = store.zone.day_of(now);
            let task = task("adtally.aggregate_day");
            store
                .store
                .roll_up_day(task, store.zone, day)
                .await
                .unwrap();
        }
    }
}

#[tokio::test]
async fn totals_are_exact_whatever_happened_to_the_hour_in_whatever_order() {
    let mut runner = TestRunner::deterministic();
    // In the second zone hours begin at half past.
    for zone in ["UTC", "Asia/Tehran"] {
        for _ in 0..3 {
            let store = store_in(zone);
            let now = store.store.clock().await.unwrap();
            let steps = prop::collection::vec(step(), 15)
                .new_tree(&mut runner)
                .unwrap()
                .current();
            for n in 0..steps.len() {
                take(&store, now, &steps[n]).await;
                check(&store, now, &steps[..=n]).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn totals_are_exact_beside_writers_sweeps_and_roll_ups() {
    let store = store_in("UTC");
    let now = store.store.clock().await.unwrap();
    let write = async |hour: i64| {
        for n in 0..25 {
            let events = (0..8).map(|e| ((n + e) % 2 * hour, 1 + (n + e) % ADS, e == 3));
            take(&store, now, &Step::Store(events.collect())).await;
        }
    };
    let write_as_before = async || {
        for _ in 0..5 {
            take(&store, now, &Step::StoreAsBefore(0, 2)).await;
        }
    };
    let sweep = async || {
        for _ in 0..25 {
            match store.store.count_open_hours(store.zone).await {
                Ok(_) | Err(StoreError::Contended(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
    };
    let roll_up = async || {
        for _ in 0..10 {
            let (task, hour) = (task("adtally.aggregate_hour"), store.zone.hour_of(now));
            match store.store.roll_up_hour(task, store.zone, hour).await {
                Ok(_) | Err(StoreError::Contended(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
    };
    // What is told lies between what was there before and after it was asked.
    let read = async || {
        for _ in 0..20 {
            let before = counted(&store);
            let (all, each, _) = told(&store, now).await;
            let after = counted(&store);
            for (key, least) in &before {
                for told in [&all, &each] {
                    let (is, most) = (told[key], after[key]);
                    assert!(
                        least.0 <= is.0 && is.0 <= most.0,
                        "{key:?} {least:?} {is:?} {most:?}"
                    );
                    assert!(
                        least.1 <= is.1 && is.1 <= most.1,
                        "{key:?} {least:?} {is:?} {most:?}"
                    );
                }
            }
        }
    };
    tokio::join!(
        write(0),
        write(-1),
        write_as_before(),
        sweep(),
        sweep(),
        roll_up(),
        read()
    );
    check(&store, now, &[]).await;
    sweep().await;
    check(&store, now, &[]).await;
    store.roll_up_all().await;
    check(&store, now, &[]).await;
    assert_eq!(store.store.audit(store.zone).await.unwrap().mismatches, []);
}

#[tokio::test]
async fn an_open_hour_that_was_swept_is_read_without_its_events() {
    let store = store_in("UTC");
    let now = store.store.clock().await.unwrap();
    let events = |count| (0..count).map(|n| (0, 1 + n % ADS, n % 7 == 0)).collect();
    take(&store, now, &Step::Store(events(400))).await;
    assert_eq!(store.store.count_open_hours(store.zone).await.unwrap(), 1);
    assert_eq!(store.store.count_open_hours(store.zone).await.unwrap(), 0);
    take(&store, now, &Step::Store(events(30))).await;
    // Whoever counted events would now have to say so.
    store.sql("TRUNCATE events");
    let (all, each, days) = told(&store, now).await;
    let sum = |counts: &Counts| counts.values().map(|(i, c)| i + c).sum::<u64>();
    assert_eq!([sum(&all), sum(&each), sum(&days)], [430; 3]);
}

#[tokio::test]
async fn an_hour_that_ends_before_its_turn_is_left_to_its_roll_up() {
    let mut store = store_in("UTC");
    let now = store.store.clock().await.unwrap();
    take(&store, now, &Step::Store(vec![(0, 1, false)])).await;
    // It runs when the sweep begins, and is over when it comes to the hour.
    store.sql(&format!(
        "CREATE FUNCTION clock_timestamp() RETURNS timestamptz LANGUAGE sql AS \
             $$ SELECT pg_catalog.clock_timestamp() + interval '1 hour' $$; \
         ALTER DATABASE {} SET search_path = public, pg_catalog",
        store.database.name()
    ));
    store.limit_lock_waits(Duration::from_secs(10));
    assert_eq!(store.store.count_open_hours(store.zone).await.unwrap(), 0);
    assert_eq!(store.count("dirty_hours"), 1);
    assert_eq!(store.count("ad_hourly_stats"), 0);
}

/// `cargo test -p adtally-store --test postgres -- --ignored --nocapture open_hour`
#[tokio::test]
#[ignore = "measures"]
async fn what_the_default_query_takes_as_the_hour_grows() {
    let store = store_in("UTC");
    let now = store.store.clock().await.unwrap();
    let ask = async || {
        let begun = Instant::now();
        let mut span = span(Granularity::Hour, now);
        span.from = now.saturating_add_millis(-24 * HOUR_MILLIS);
        let page = store
            .store
            .all_stats(store.zone, span, None, 1_000)
            .await
            .unwrap();
        (begun.elapsed(), page.rows.len())
    };
    for round in 1..=5 {
        for _ in 0..4 {
            let events = (0..50_000).map(|n| (0, 1 + n * n % 10_000, n % 50 == 0));
            take(&store, now, &Step::Store(events.collect())).await;
            store.store.count_open_hours(store.zone).await.unwrap();
        }
        let events = (0..5_000).map(|n| (0, 1 + n * n % 10_000, false));
        take(&store, now, &Step::Store(events.collect())).await;
        let swept = ask().await;
        // A mark as builds before made it has the hour counted from its events, as they did.
        store.sql("INSERT INTO dirty_hours (hour) SELECT min(hour) FROM dirty_hours");
        let counted = ask().await;
        store.sql("DELETE FROM dirty_hours WHERE added IS NULL");
        println!(
            "{} events: {swept:?}, counted anew {counted:?}",
            round * 205_000
        );
    }
}
