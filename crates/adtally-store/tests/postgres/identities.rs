//! Whatever the order, the company and the repetitions of events: the same tables.

use std::collections::BTreeMap;

use adtally_domain::{AdId, Event, EventId, EventKind, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::Config;

use super::store_in;
use crate::support::{TestStore, at, blocking, impression};

/// An event decided by a few numbers; equal numbers are the same event.
fn event(minute: i64, ad: i64, click: bool) -> Event {
    let time = at("2026-06-01T20:00:00Z").saturating_add_millis(minute * 60_000);
    let kind = if click {
        EventKind::Click
    } else {
        EventKind::Impression
    };
    let ad_id = AdId::new(ad).unwrap();
    Event {
        id: EventId::derive(kind, ad_id, time, "event"),
        kind,
        ad_id,
        ..impression(&time.to_string())
    }
}

/// What happens to a database: events come, and now and then a bucket is rolled up.
#[derive(Debug, Clone)]
enum Step {
    Save(Vec<(i64, i64, bool)>),
    RollUpHour(i64),
    RollUpDay,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let numbers = (0..400_i64, 1..4_i64, any::<bool>());
    let step = prop_oneof![
        4 => prop::collection::vec(numbers, 1..25).prop_map(Step::Save),
        2 => (0..400_i64).prop_map(Step::RollUpHour),
        1 => Just(Step::RollUpDay),
    ];
    prop::collection::vec(step, 1..10)
}

async fn play(store: &TestStore, steps: &[Step]) {
    for step in steps {
        match step {
            Step::Save(numbers) => {
                let events = numbers.iter().map(|&(m, ad, click)| event(m, ad, click));
                store.save(events.collect()).await;
            }
            Step::RollUpHour(minute) => {
                let hour = store.zone.hour_of(event(*minute, 1, true).occurred_at());
                store.roll_up_hour(hour).await;
            }
            Step::RollUpDay => {
                store.roll_up_day("2026-06-01").await;
            }
        }
    }
    store.roll_up_all().await;
}

/// The hourly and daily totals of a set of events, computed without a database.
fn model(store: &TestStore, steps: &[Step]) -> (String, String) {
    let mut events = BTreeMap::new();
    for step in steps {
        if let Step::Save(numbers) = step {
            for &(minute, ad, click) in numbers {
                let event = event(minute, ad, click);
                events.insert(event.id, event);
            }
        }
    }
    let mut hours: BTreeMap<(Timestamp, AdId), [u64; 2]> = BTreeMap::new();
    let mut days: BTreeMap<(chrono::NaiveDate, AdId), [u64; 2]> = BTreeMap::new();
    for event in events.values() {
        let (time, kind) = (event.occurred_at(), usize::from(event.kind.code()));
        let hour = store.zone.hour_of(time).start;
        let day = store.zone.day_of(time).date;
        hours.entry((hour, event.ad_id)).or_default()[kind] += 1;
        days.entry((day, event.ad_id)).or_default()[kind] += 1;
    }
    let hours = hours.iter().map(|((hour, ad), [i, c])| {
        format!("{}|{ad}|{i}|{c}\n", hour.to_datetime().format("%F %T"))
    });
    let days = days
        .iter()
        .map(|((day, ad), [i, c])| format!("{day}|{ad}|{i}|{c}\n"));
    (hours.collect(), days.collect())
}

fn totals(store: &TestStore) -> (String, String) {
    let hours = store.sql(
        "SELECT hour AT TIME ZONE 'UTC', ad_id, impressions, clicks FROM ad_hourly_stats \
         ORDER BY 1, 2",
    );
    let days =
        store.sql("SELECT day, ad_id, impressions, clicks FROM ad_daily_stats ORDER BY 1, 2");
    let ended = |text: String| {
        let text = text.trim().to_owned();
        if text.is_empty() { text } else { text + "\n" }
    };
    (ended(hours), ended(days))
}

proptest! {
    #![proptest_config(Config { cases: 16, max_shrink_iters: 60, ..Config::default() })]

    #[test]
    fn totals_are_what_the_set_of_events_says(
        steps in steps(),
        zone in prop::sample::select(vec!["UTC", "Asia/Tehran", "Asia/Kathmandu"]),
    ) {
        let store = store_in(zone);
        blocking(play(&store, &steps));
        prop_assert_eq!(totals(&store), model(&store, &steps));
        let report = blocking(store.store.audit(store.zone)).unwrap();
        prop_assert_eq!(report.mismatches, vec![]);
        prop_assert!(report.pending_hours.is_empty() && report.pending_days.is_empty());
    }

    #[test]
    fn any_order_company_and_repetition_of_events_gives_the_same_tables(
        (events, mixed) in prop::collection::vec((0..400_i64, 1..4_i64, any::<bool>()), 1..60)
            .prop_flat_map(|events| {
                let twice: Vec<_> = events.iter().chain(&events).copied().collect();
                (Just(events), Just(twice).prop_shuffle())
            }),
        batch in 1..40_usize,
    ) {
        let (one, other) = (store_in("Asia/Tehran"), store_in("Asia/Tehran"));
        blocking(play(&one, &[Step::Save(events)]));
        let steps: Vec<Step> = mixed.chunks(batch).map(|chunk| Step::Save(chunk.to_vec())).collect();
        blocking(play(&other, &steps));
        prop_assert_eq!(one.tables(), other.tables());
    }
}
