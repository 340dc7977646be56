//! Events that come late, twice, a thousand times, or with another face.

use adtally_tests::traffic::{Told, past_id};
use adtally_tests::until;
use chrono::TimeDelta;
use serde_json::{Value, json};

use super::Row;
use crate::ground::{Ground, now};
use crate::stage::{Setting, Stage};

pub(super) const ROWS: [Row; 3] = [
    Row::of_processes("row_40_one_event_sent_a_thousand_times", thousandfold),
    Row::of_processes("row_41_one_id_with_two_payloads", conflicting),
    Row::of_processes("row_42_late_and_out_of_order", late),
];

/// Posts `events`, of which all must be accepted, and remembers their ids.
fn accept(stage: &Stage, events: &[Value], told: &mut Told) {
    for request in events.chunks(1_000) {
        told.accepted.extend(stage.system.accept(&json!(request)));
    }
}

fn thousandfold(ground: &Ground) {
    let stage = Setting::new(ground, "row-40").workers(2).start();
    let mut told = Told::default();
    let event = json!({"ad_id": 7, "kind": "click", "event_id": past_id(1)});
    for _ in 0..50 {
        accept(&stage, &vec![event.clone(); 20], &mut told);
    }
    let reckoning = stage.reckon(&told);
    assert_eq!((reckoning.stored, reckoning.duplicates), (1, 999));
}

fn conflicting(ground: &Ground) {
    let stage = Setting::new(ground, "row-41").start();
    let mut told = Told::default();
    let event = |number: u64, placement: &str| {
        let at = (now() - TimeDelta::hours(3))
            .format("%Y-%m-%dT%H:00:00Z")
            .to_string();
        json!({"ad_id": 7, "kind": "click", "event_id": format!("auction-{number}"),
               "occurred_at": at, "placement": placement})
    };
    let all = |placement: &str| (0..100).map(|n| event(n, placement)).collect::<Vec<_>>();
    accept(&stage, &all("first"), &mut told);
    stage.system.wait_for_events(100);
    for placement in ["second", "third"] {
        accept(&stage, &all(placement), &mut told);
    }
    let conflicts = || {
        stage
            .worker()
            .process()
            .metric("adtally_events_conflict_total")
    };
    until("conflicts are counted", || {
        (conflicts() >= 200.0).then_some(())
    });
    let reckoning = stage.reckon(&told);
    assert_eq!((reckoning.stored, reckoning.duplicates), (100, 200));
    assert_eq!(conflicts(), 200.0);
    let kept = stage.system.sql("SELECT DISTINCT placement FROM events");
    assert_eq!(kept.trim(), "first");
}

fn late(ground: &Ground) {
    let setting = Setting::new(ground, "row-42").workers(2);
    let stage = setting.all(|system| system.max_event_age("60d")).start();
    let mut told = Told::default();
    let days = [3, 40, 1, 24, 2, 59, 10];
    let event = |back: i64, number: i64| {
        let at = now() - TimeDelta::days(back) - TimeDelta::minutes(90 + number * 7);
        json!({"ad_id": 1 + number % 5, "kind": "impression", "occurred_at": at.to_rfc3339()})
    };
    let mut restated = 0;
    for round in 0..3 {
        let events: Vec<_> = days
            .iter()
            .flat_map(|day| (0..40).map(move |n| (*day, n)))
            .collect();
        let events: Vec<_> = events
            .iter()
            .map(|(day, n)| event(*day, n + round))
            .collect();
        accept(&stage, &events, &mut told);
        stage.reckon(&told);
        let rows = stage.system.count("SELECT count(*) FROM restatements");
        assert!(
            round == 0 || rows > restated,
            "late events are told of as restatements"
        );
        restated = rows;
    }
    let restated_days = stage
        .system
        .count("SELECT count(*) FROM restatements WHERE granularity = 'day'");
    assert!(restated_days > 0, "days are restated with their hours");
}
