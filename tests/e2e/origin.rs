//! Mistakes of earlier ad counters, one test each: none of them is made here.

use std::path::Path;
use std::process::Command;

use adtally_devstack::testing::TestStack;
use adtally_domain::AggregateHour;
use adtally_tests::{Process, System, until};
use serde_json::{Value, json};

/// A system that takes events of any age, so that tests can name fixed dates.
fn any_age(name: &str) -> (System, Process) {
    let system = System::builder(name).max_event_age("36500d").start();
    let worker = system.worker();
    (system, worker)
}

fn impressions(times: &[&str]) -> Value {
    times
        .iter()
        .map(|at| json!({"ad_id": 7, "kind": "impression", "occurred_at": at}))
        .collect()
}

fn count(system: &System, times: &[&str]) {
    let before = system.count("SELECT count(*) FROM events");
    system.accept(&impressions(times));
    system.wait_for_events(before + times.len() as u64);
    system.settle();
}

fn hours(system: &System) -> String {
    system.sql("SELECT hour, impressions FROM ad_hourly_stats ORDER BY hour")
}

fn days(system: &System) -> String {
    system.sql("SELECT day, impressions FROM ad_daily_stats ORDER BY day")
}

#[test]
fn an_hour_is_the_clock_hour_at_whatever_second_its_task_runs() {
    let (system, _worker) = any_age("clock-hour");
    count(
        &system,
        &[
            "2026-03-01T10:00:07Z",
            "2026-03-01T10:59:59.999Z",
            "2026-03-01T12:30:00Z",
        ],
    );
    assert_eq!(
        hours(&system),
        "2026-03-01 10:00:00+00|2\n2026-03-01 12:00:00+00|1"
    );
}

#[test]
fn an_event_on_the_boundary_belongs_to_the_hour_that_begins() {
    let (system, _worker) = any_age("boundary");
    count(
        &system,
        &[
            "2026-03-01T10:59:59.999Z",
            "2026-03-01T11:00:00Z",
            "2026-03-02T00:00:00Z",
        ],
    );
    assert_eq!(
        hours(&system),
        "2026-03-01 10:00:00+00|1\n2026-03-01 11:00:00+00|1\n2026-03-02 00:00:00+00|1"
    );
    assert_eq!(days(&system), "2026-03-01|2\n2026-03-02|1");
}

#[test]
fn a_task_that_runs_twice_changes_nothing_the_second_time() {
    let (system, _worker) = any_age("twice");
    count(&system, &["2026-03-01T10:15:00Z", "2026-03-01T10:45:00Z"]);
    let rows = "SELECT ad_id, impressions, clicks, computed_at FROM ad_hourly_stats";
    let before = system.sql(rows);
    for _ in 0..2 {
        system.run(&AggregateHour {
            hour: "2026-03-01T10:00:00Z".parse().unwrap(),
        });
    }
    assert_eq!(system.sql(rows), before);
    assert_eq!(system.count("SELECT count(*) FROM restatements"), 0);
}

#[test]
fn a_day_is_made_of_the_hours_it_holds_whenever_they_were_computed() {
    let (system, _worker) = any_age("day-of-hours");
    count(&system, &["2026-03-01T23:30:00Z"]);
    count(&system, &["2026-03-01T00:30:00Z"]);
    assert_eq!(days(&system), "2026-03-01|2");
}

#[test]
fn the_same_hour_of_other_dates_stays_apart() {
    let (system, _worker) = any_age("dates");
    count(
        &system,
        &[
            "2026-03-01T10:00:00Z",
            "2026-03-02T10:00:00Z",
            "2026-02-28T10:00:00Z",
        ],
    );
    assert_eq!(days(&system), "2026-02-28|1\n2026-03-01|1\n2026-03-02|1");
}

#[test]
fn beat_sends_the_hour_that_ended_not_the_one_that_begins() {
    let (system, _worker) = System::with_worker("ended-hour");
    system.sql("INSERT INTO settings (key, value) VALUES ('schedule_from', (now() - interval '3 hours')::text)");
    let _beat = system.beat();
    until("beat has caught up", || {
        let done = "SELECT count(*) FROM task_runs WHERE name = 'adtally.aggregate_hour' AND state = 'succeeded'";
        (system.count(done) == 3).then_some(())
    });
    let wrong = system.sql(
        "SELECT slot, arguments FROM schedule_runs JOIN task_runs USING (task_id) \
         WHERE entry = 'aggregate-last-hour' \
         AND (arguments->>'hour')::timestamptz <> slot - interval '1 hour'",
    );
    assert_eq!(wrong, "");
}

#[test]
fn an_hour_takes_as_many_statements_for_many_ads_as_for_one() {
    let statements = |name: &str, ads: u64| {
        let system = System::builder(name).max_event_age("36500d").start();
        system.sql("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET log_statement = ''all''', current_database()); END $$");
        let worker = system.worker();
        let events: Value = (1..=ads)
            .map(|ad| json!({"ad_id": ad, "kind": "click", "occurred_at": "2026-03-01T10:15:00Z"}))
            .collect();
        system.accept(&events);
        system.wait_for_events(ads);
        let sessions = sessions_of(&system);
        let before = logged(
            TestStack::shared().postgres().log_file().as_path(),
            &sessions,
        );
        system.run(&AggregateHour {
            hour: "2026-03-01T10:00:00Z".parse().unwrap(),
        });
        let after = logged(
            TestStack::shared().postgres().log_file().as_path(),
            &sessions,
        );
        assert_eq!(system.count("SELECT count(*) FROM ad_hourly_stats"), ads);
        assert!(after > before, "the worker's statements are in the log");
        drop(worker);
        after - before
    };
    // A few statements more may come from another session of the pool.
    let (one, many) = (statements("one-ad", 1), statements("many-ads", 500));
    assert!(
        many <= one + 20,
        "{one} statements for one ad, {many} for 500"
    );
}

/// The process ids of the worker's sessions.
fn sessions_of(system: &System) -> Vec<String> {
    let sessions = "SELECT pid FROM pg_stat_activity \
                    WHERE datname = current_database() AND application_name LIKE 'adtally-worker%'";
    system
        .sql(sessions)
        .lines()
        .map(|pid| format!("[{pid}]"))
        .collect()
}

fn logged(log: &Path, sessions: &[String]) -> usize {
    let log = std::fs::read_to_string(log).unwrap();
    let of_sessions = |line: &&str| {
        sessions
            .iter()
            .any(|session| line.contains(session.as_str()))
    };
    log.lines()
        .filter(of_sessions)
        .filter(|line| line.contains("execute") || line.contains("statement:"))
        .count()
}

#[test]
fn no_update_is_lost_when_many_clients_and_workers_count_one_ad() {
    let (system, _first) = System::with_worker("one-hot-ad");
    let _second = system.worker();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..25 {
                    system.accept(&json!({"ad_id": 1, "kind": "impression"}));
                }
            });
        }
    });
    system.wait_for_events(200);
    let stats = system.get("/v1/ads/1/stats?granularity=day").json();
    let total: u64 = stats["data"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|day| day["impressions"].as_u64())
        .sum();
    assert_eq!(total, 200, "{stats}");
}

#[test]
fn two_visitors_behind_one_address_are_two_impressions() {
    let (system, _worker) = System::with_worker("one-address");
    let event = json!({"ad_id": 5, "kind": "impression", "ip": "203.0.113.9"});
    system.accept(&json!([event, event]));
    system.accept(&event);
    system.wait_for_events(3);
}

#[test]
fn an_event_that_could_not_be_kept_is_counted_when_it_is_sent_again() {
    let system = System::builder("sent-again").start();
    bound_clicks(&system, r#"{"max-length": 10}"#);
    until("the full queue refuses", || {
        let filler = json!({"ad_id": 6, "kind": "click"});
        (system.post(&filler).status == 503).then_some(())
    });
    let event = json!({"ad_id": 5, "kind": "click", "event_id": "auction-1", "occurred_at": now()});
    let refused = system.post(&event);
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.header("retry-after").is_some(), "{refused:?}");

    let _worker = system.worker();
    until("the queue takes events again", || {
        (system.post(&event).status == 202).then_some(())
    });
    until("the event is stored once", || {
        (system.count("SELECT count(*) FROM events WHERE ad_id = 5") == 1).then_some(())
    });
}

/// Sets a policy on the system's queue of clicks.
fn bound_clicks(system: &System, definition: &str) {
    let name = format!("{}-clicks", system.prefix());
    let queue = format!("^{}\\.clicks$", system.prefix());
    let rabbitmq = TestStack::shared().rabbitmq();
    let set = ["set_policy", "--apply-to", "queues", &name, &queue];
    rabbitmq
        .ctl_blocking(&[&set[..], &[definition]].concat())
        .unwrap();
}

#[test]
fn a_click_is_answered_so_that_no_browser_skips_it_the_next_time() {
    let (system, _worker) = System::with_worker("click-302");
    let advertiser = system
        .post_as(&json!({"name": "Acme"}), "/v1/advertisers", &[])
        .json();
    let ad = json!({
        "id": 9, "advertiser_id": advertiser["id"], "title": "Shoes",
        "target_url": "https://shop.example/shoes", "approved": true,
    });
    assert_eq!(system.post_as(&ad, "/v1/ads", &[]).status, 201);
    for _ in 0..2 {
        let click = until("the directory knows the ad", || {
            let click = system.get("/v1/click/9");
            (click.status != 404).then_some(click)
        });
        assert_eq!(click.status, 302);
        assert_eq!(click.header("location"), Some("https://shop.example/shoes"));
        assert!(
            click
                .header("cache-control")
                .is_some_and(|value| value.contains("no-store"))
        );
    }
    system.wait_for_events(2);
}

#[test]
fn a_late_event_counts_in_the_hour_it_happened_and_the_change_is_on_record() {
    let (system, _worker) = any_age("late");
    count(&system, &["2026-03-01T10:15:00Z"]);
    assert_eq!(system.count("SELECT count(*) FROM restatements"), 0);
    count(&system, &["2026-03-01T10:20:00Z"]);
    assert_eq!(hours(&system), "2026-03-01 10:00:00+00|2");
    assert_eq!(days(&system), "2026-03-01|2");
    let restated = "SELECT granularity, old_impressions, new_impressions FROM restatements ORDER BY granularity";
    assert_eq!(system.sql(restated), "day|1|2\nhour|1|2");
}

/// The time, as the database's host sees it.
fn now() -> String {
    let date = Command::new("date")
        .args(["-u", "+%Y-%m-%dT%H:%M:%SZ"])
        .output()
        .unwrap();
    String::from_utf8(date.stdout).unwrap().trim().to_owned()
}
