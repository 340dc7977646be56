//! Hours and days that are not those of UTC: half an hour off, half as long, 23 or 25 to the day.

use adtally_tests::{Process, System};
use serde_json::{Value, json};

fn reporting_in(zone: &str, name: &str) -> (System, Process) {
    let system = System::builder(name)
        .timezone(zone)
        .max_event_age("36500d")
        .start();
    let worker = system.worker();
    (system, worker)
}

/// Stores one impression of ad 7 at each time and rolls up.
fn count(system: &System, times: &[String]) {
    let events: Value = times
        .iter()
        .map(|at| json!({"ad_id": 7, "kind": "impression", "occurred_at": at}))
        .collect();
    system.accept(&events);
    system.wait_for_events(times.len() as u64);
    system.settle();
}

fn times<const N: usize>(times: [&str; N]) -> Vec<String> {
    times.map(str::to_owned).to_vec()
}

/// One time in each of `count` hours from `day` at `hour` UTC on.
fn each_hour(day: &str, hour: u32, count: u32) -> Vec<String> {
    let start: chrono::DateTime<chrono::Utc> = format!("{day}T{hour:02}:20:00Z").parse().unwrap();
    (0..count)
        .map(|hour| (start + chrono::TimeDelta::hours(hour.into())).to_rfc3339())
        .collect()
}

/// Start, end, impressions and status of each bucket of ad 7, as the API tells them.
fn buckets(system: &System, query: &str) -> Vec<String> {
    let answer = system.get(&format!("/v1/ads/7/stats?{query}"));
    assert_eq!(
        answer.status,
        200,
        "{}",
        String::from_utf8_lossy(&answer.body)
    );
    let data = answer.json()["data"].as_array().unwrap().clone();
    data.iter().map(line).collect()
}

fn line(bucket: &Value) -> String {
    let text = |name: &str| bucket[name].as_str().unwrap().to_owned();
    format!(
        "{} {} {} {}",
        text("start"),
        text("end"),
        bucket["impressions"],
        text("status")
    )
}

#[test]
fn a_day_of_tehran_is_made_of_its_own_hours() {
    let (system, _worker) = reporting_in("Asia/Tehran", "tehran");
    let events = times([
        "2026-03-01T20:29:59.999Z",
        "2026-03-01T20:30:00Z",
        "2026-03-01T21:29:59.999Z",
        "2026-03-02T20:29:59.999Z",
        "2026-03-02T20:30:00Z",
    ]);
    count(&system, &events);
    assert_eq!(
        system.totals(),
        "2026-03-01 19:30:00+00|7|1|0\n\
         2026-03-01 20:30:00+00|7|2|0\n\
         2026-03-02 19:30:00+00|7|1|0\n\
         2026-03-02 20:30:00+00|7|1|0\n\n\
         2026-03-01|7|1|0\n\
         2026-03-02|7|3|0\n\
         2026-03-03|7|1|0"
    );
    let hours = "granularity=hour&from=2026-03-01T20:15:00Z&to=2026-03-01T21:45:00Z";
    assert_eq!(
        buckets(&system, hours),
        [
            "2026-03-01T23:00:00+03:30 2026-03-02T00:00:00+03:30 1 final",
            "2026-03-02T00:00:00+03:30 2026-03-02T01:00:00+03:30 2 final",
            "2026-03-02T01:00:00+03:30 2026-03-02T02:00:00+03:30 0 final",
        ]
    );
    let days = "granularity=day&from=2026-03-02T12:00:00%2B03:30&to=2026-03-03T00:00:00%2B03:30";
    assert_eq!(
        buckets(&system, days),
        ["2026-03-02T00:00:00+03:30 2026-03-03T00:00:00+03:30 3 final"]
    );
}

#[test]
fn the_hour_that_lord_howe_repeats_by_half_is_half_an_hour_long() {
    let (system, _worker) = reporting_in("Australia/Lord_Howe", "lord-howe");
    // At 15:00 UTC clocks go back from 02:00 to 01:30, and at 15:30 it is 02:00 again.
    let events = times([
        "2026-04-04T14:45:00Z",
        "2026-04-04T15:00:00Z",
        "2026-04-04T15:29:59.999Z",
        "2026-04-04T15:30:00Z",
    ]);
    count(&system, &events);
    let expected = [
        "2026-04-05T01:00:00+11:00 2026-04-05T01:30:00+10:30 1 final",
        "2026-04-05T01:30:00+10:30 2026-04-05T02:00:00+10:30 2 final",
        "2026-04-05T02:00:00+10:30 2026-04-05T03:00:00+10:30 1 final",
    ];
    let hours = "granularity=hour&from=2026-04-04T14:30:00Z&to=2026-04-04T15:45:00Z";
    assert_eq!(buckets(&system, hours), expected);
    assert_eq!(
        system.totals(),
        "2026-04-04 14:00:00+00|7|1|0\n\
         2026-04-04 15:00:00+00|7|2|0\n\
         2026-04-04 15:30:00+00|7|1|0\n\n\
         2026-04-05|7|4|0"
    );
}

#[test]
fn the_hour_that_lord_howe_skips_by_half_begins_at_half_past() {
    let (system, _worker) = reporting_in("Australia/Lord_Howe", "lord-howe-spring");
    // At 15:30 UTC clocks go on from 02:00 to 02:30.
    let events = times([
        "2026-10-03T15:29:59.999Z",
        "2026-10-03T15:30:00Z",
        "2026-10-03T16:00:00Z",
    ]);
    count(&system, &events);
    let hours = "granularity=hour&from=2026-10-03T15:00:00Z&to=2026-10-03T16:30:00Z";
    assert_eq!(
        buckets(&system, hours),
        [
            "2026-10-04T01:00:00+10:30 2026-10-04T02:30:00+11:00 1 final",
            "2026-10-04T02:30:00+11:00 2026-10-04T03:00:00+11:00 1 final",
            "2026-10-04T03:00:00+11:00 2026-10-04T04:00:00+11:00 1 final",
        ]
    );
}

#[test]
fn days_of_berlin_have_23_and_25_hours_when_clocks_change() {
    let (system, _worker) = reporting_in("Europe/Berlin", "berlin");
    let mut events = each_hour("2026-03-28", 22, 25);
    events.extend(each_hour("2026-10-24", 21, 27));
    count(&system, &events);
    assert_eq!(
        system.sql("SELECT day, impressions FROM ad_daily_stats ORDER BY day"),
        "2026-03-28|1\n2026-03-29|23\n2026-03-30|1\n2026-10-24|1\n2026-10-25|25\n2026-10-26|1"
    );

    let hours_of = |day: &str, next: &str| {
        let bounds = format!("from={day}&to={next}").replace('+', "%2B");
        buckets(&system, &format!("granularity=hour&{bounds}"))
    };
    let spring = hours_of("2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00");
    assert_eq!(spring.len(), 23);
    assert_eq!(
        spring[1],
        "2026-03-29T01:00:00+01:00 2026-03-29T03:00:00+02:00 1 final"
    );
    let autumn = hours_of("2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00");
    assert_eq!(autumn.len(), 25);
    assert_eq!(
        autumn[2],
        "2026-10-25T02:00:00+02:00 2026-10-25T02:00:00+01:00 1 final"
    );
    assert_eq!(
        autumn[3],
        "2026-10-25T02:00:00+01:00 2026-10-25T03:00:00+01:00 1 final"
    );
    let all = [spring, autumn].concat();
    assert!(all.iter().all(|hour| hour.ends_with(" 1 final")), "{all:?}");
}

#[test]
fn a_bucket_is_open_until_it_is_over_and_rolled_up_then_provisional_then_final() {
    let (system, _worker) = reporting_in("Asia/Kathmandu", "statuses");
    let statuses = |query: &str| {
        let data = system.get(&format!("/v1/ads/7/stats?{query}")).json()["data"].clone();
        let buckets = data.as_array().unwrap().iter();
        let line = |bucket: &Value| {
            format!(
                "{} {}",
                bucket["clicks"],
                bucket["status"].as_str().unwrap()
            )
        };
        buckets.map(line).collect::<Vec<_>>()
    };
    let long_ago = "2026-03-01T10:20:00Z";
    system.accept(&json!([
        {"ad_id": 7, "kind": "click"},
        {"ad_id": 7, "kind": "click", "occurred_at": long_ago},
    ]));
    system.wait_for_events(2);
    // No beat runs here: what is marked stays marked until the test sweeps.
    let old = |granularity: &str| {
        statuses(&format!(
            "granularity={granularity}&from={long_ago}&to=2026-03-01T10:20:01Z"
        ))
    };
    assert_eq!(
        (old("hour"), old("day")),
        (vec!["1 open".to_owned()], vec!["1 open".to_owned()])
    );
    system.settle();
    assert_eq!(
        (old("hour"), old("day")),
        (vec!["1 final".to_owned()], vec!["1 final".to_owned()])
    );

    let recent = statuses("granularity=hour");
    assert_eq!(recent.len(), 25);
    assert!(recent[24].ends_with(" open"), "{recent:?}");
    assert_eq!(recent[20], "0 provisional");
}
