//! What is billed stands, whatever happens to the raw events it was made of; and how it is made anew.

use adtally_tests::{System, until};
use chrono::{Days, NaiveDate};
use serde_json::{Value, json};

/// `count` clicks of ad 42 at ten o'clock of `day`, each with an id of its own.
fn clicks(day: NaiveDate, name: &str, count: usize) -> Value {
    let events = (0..count).map(|number| {
        json!({
            "ad_id": 42,
            "kind": "click",
            "event_id": format!("{name}-{number}"),
            "occurred_at": format!("{day}T10:{number:02}:00Z"),
        })
    });
    events.collect()
}

fn days_ago(system: &System, days: u64) -> NaiveDate {
    let day = system.sql(&format!("SELECT current_date - {days}"));
    day.trim().parse().expect("a date")
}

fn partition(day: NaiveDate) -> String {
    format!("events_{}", day.format("%Y%m%d"))
}

/// Clicks and status of ad 42 on `day`, as the API tells them.
fn told(system: &System, day: NaiveDate) -> (Value, Value) {
    let next = day + Days::new(1);
    let span = format!("from={day}T00:00:00Z&to={next}T00:00:00Z");
    let stats = system.get(&format!("/v1/ads/42/stats?granularity=day&{span}"));
    let row = stats.json()["data"][0].clone();
    (row["clicks"].clone(), row["status"].clone())
}

#[test]
fn no_total_that_was_final_shrinks_when_raw_events_are_gone() {
    let (system, _worker) = System::with_worker("history");
    let _beat = system.beat().ready();
    let (dropped, halved) = (days_ago(&system, 20), days_ago(&system, 21));
    system.accept(&clicks(dropped, "dropped", 10));
    system.accept(&clicks(halved, "halved", 10));
    system.wait_for_events(20);
    system.settle();
    let totals = system.totals();
    let unchanged = (json!(10), json!("final"));
    assert_eq!(told(&system, dropped), unchanged);
    assert_eq!(told(&system, halved), unchanged);

    system.sql(&format!("DROP TABLE {}", partition(dropped)));
    system.sql(
        "DELETE FROM events WHERE event_id IN (SELECT event_id FROM events ORDER BY event_id LIMIT 5)",
    );
    let (code, out, err) = system.adtally(&["audit"]);
    assert_eq!(code, 1, "{out}{err}");
    assert!(out.contains(&partition(dropped)), "{out}");

    for name in ["late", "later"] {
        system.accept(&clicks(dropped, &format!("{name}-dropped"), 1));
        system.accept(&clicks(halved, &format!("{name}-halved"), 1));
        until("the late events are stored or dead letters", || {
            let stored =
                "SELECT (SELECT count(*) FROM events) + (SELECT count(*) FROM dead_letters)";
            (system.count(stored) == if name == "late" { 7 } else { 9 }).then_some(())
        });
        assert_eq!(told(&system, halved).0, json!(10), "before its roll-up too");
        system.settle();
        assert_eq!(system.totals(), totals);
    }
    assert_eq!(told(&system, dropped), unchanged);
    assert_eq!(told(&system, halved), unchanged);
    // The first late event of the halved hour showed the loss; all others are kept apart.
    let letters = "SELECT count(*) FROM dead_letters WHERE reason = 'too_old' AND state = 'new'";
    assert_eq!(system.count(letters), 3);
    assert_eq!(system.count("SELECT count(*) FROM restatements"), 0);

    let (code, out, err) = system.adtally(&["audit"]);
    assert_eq!(code, 1, "{out}{err}");
    for (day, reason) in [(dropped, "partition_missing"), (halved, "events_missing")] {
        assert!(
            out.contains(&format!("{day}T10:00:00Z ({reason})")),
            "{out}"
        );
    }
}

#[test]
fn a_range_is_rebuilt_by_the_workers_and_waited_for() {
    let (system, worker) = System::with_worker("rebuild");
    let (damaged, gone) = (days_ago(&system, 3), days_ago(&system, 5));
    system.accept(&clicks(damaged, "damaged", 10));
    system.accept(&clicks(gone, "gone", 10));
    system.wait_for_events(20);
    system.settle();
    let totals = system.totals();
    let of_day = format!("hour::date = '{damaged}'");
    system.sql(&format!(
        "UPDATE ad_hourly_stats SET clicks = 3 WHERE {of_day}"
    ));
    system.sql(&format!(
        "UPDATE ad_daily_stats SET clicks = 4 WHERE day = '{damaged}'"
    ));

    let range = |day: NaiveDate| [day.to_string(), (day + Days::new(1)).to_string()];
    let rebuild = |day: NaiveDate| {
        let [from, to] = range(day);
        std::thread::scope(|scope| {
            let ran = scope.spawn(|| system.adtally(&["rebuild", "--from", &from, "--to", &to]));
            until("the command ends", || {
                system.settle();
                ran.is_finished().then_some(())
            });
            ran.join().unwrap()
        })
    };
    let (code, out, err) = rebuild(damaged);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("marked 24 hours and 1 day"), "{out}");
    assert_eq!(system.totals(), totals);

    // What cannot be made anew is named, and left.
    system.sql(&format!(
        "DELETE FROM events WHERE event_id < adtally_day_floor('{damaged}')"
    ));
    let (code, out, err) = rebuild(gone);
    assert_eq!(code, 1, "{out}{err}");
    assert!(err.contains(&format!("({gone}T10:00:00Z)")), "{err}");
    assert_eq!(system.totals(), totals);

    // Nobody rolls anything up.
    drop(worker);
    let [from, to] = range(damaged);
    let words = ["rebuild", "--from", &from, "--to", &to, "--timeout", "1s"];
    let (code, _, err) = system.adtally(&words);
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("24 hours and 1 day still wait"), "{err}");
    let (code, _, err) = system.adtally(&["rebuild", "--from", &to, "--to", &from]);
    assert_eq!(code, 2, "{err}");
}

#[test]
fn another_zone_is_taken_over_by_a_worker_that_was_told_none() {
    let (system, _worker) = System::with_worker("another zone");
    let day = days_ago(&system, 3);
    system.accept(&clicks(day, "early", 10));
    let late = json!([{"ad_id": 42, "kind": "click", "event_id": "late",
                       "occurred_at": format!("{day}T22:00:00Z")}]);
    system.accept(&late);
    system.wait_for_events(11);
    system.settle();
    let before = system.totals();

    let (code, out, err) = system.adtally(&["timezone", "set", "Asia/Tehran", "--dry-run"]);
    assert_eq!(code, 0, "{err}");
    assert!(
        out.contains("would report in Asia/Tehran instead of UTC"),
        "{out}"
    );
    assert!(
        out.contains("adtally-api at") && out.contains("adtally-worker@"),
        "{out}"
    );
    assert_eq!(system.totals(), before);
    let (code, out, err) = system.adtally(&["timezone", "set", "Asia/Tehran"]);
    assert_eq!(code, 0, "{out}{err}");

    system.accept(&clicks(day, "after", 1));
    system.wait_for_events(12);
    system.settle();
    let days = system.sql("SELECT day, clicks FROM ad_daily_stats ORDER BY day");
    assert_eq!(days.trim(), format!("{day}|11\n{}|1", day + Days::new(1)));
    let report = system.audit();
    assert_eq!(
        (&report["ok"], &report["timezone"]),
        (&json!(true), &json!("Asia/Tehran"))
    );
}
