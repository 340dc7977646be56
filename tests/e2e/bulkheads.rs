//! What is wrong with one connection, or with one day, stays with it.

use std::time::Duration;

use adtally_domain::{AggregateHour, Task};
use adtally_tests::{System, until};
use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

/// A time so many hours ago, by the database's clock.
fn hours_ago(system: &System, hours: u32) -> String {
    let sql = format!(
        "SELECT to_char(now() - interval '{hours} hours', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"
    );
    system.sql(&sql).trim().to_owned()
}

/// Stores an event of this moment, which takes no longer than usual.
fn stores_at_once(system: &System) {
    let ids = system.accept(&json!([{"ad_id": 42, "kind": "click"}]));
    let stored = format!("SELECT count(*) FROM events WHERE event_id = '{}'", ids[0]);
    until("an event is stored meanwhile", || {
        (system.count(&stored) == 1).then_some(())
    });
}

/// Holds a lock in a session that ends with [`release`].
fn hold(system: &System, lock: &str) {
    let (psql, sql) = (
        system.psql(),
        format!("BEGIN; {lock}; SELECT pg_sleep(300)"),
    );
    std::thread::spawn(move || psql(&sql));
    until("the lock is held", || {
        let held = "SELECT count(*) FROM pg_stat_activity \
                    WHERE wait_event = 'PgSleep' AND datname = current_database()";
        (system.count(held) == 1).then_some(())
    });
}

fn release(system: &System) {
    system.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE wait_event = 'PgSleep' AND datname = current_database()",
    );
}

#[test]
fn a_roll_up_whose_connection_is_ended_again_and_again_fails_alone() {
    let (system, worker) = System::with_worker("ended");
    let worker = worker.ready();
    let time = hours_ago(&system, 3);
    system.accept(&json!([{"ad_id": 7, "kind": "click", "occurred_at": time}]));
    system.wait_for_events(1);
    let hour =
        system.sql("SELECT to_char(min(hour), 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') FROM dirty_hours");
    let hour: DateTime<Utc> = hour.trim().parse().unwrap();

    hold(&system, "LOCK TABLE ad_hourly_stats IN SHARE MODE");
    let task = AggregateHour { hour }.message(Uuid::new_v4());
    system.publish(&task);
    let state = |column: &str| {
        let sql = format!(
            "SELECT {column} FROM task_runs WHERE task_id = '{}'",
            task.id
        );
        system.sql(&sql).trim().to_owned()
    };
    for attempt in 1..=2 {
        until("a roll-up is ended", || {
            let ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                         WHERE wait_event_type = 'Lock' AND datname = current_database()";
            (system.count(ended) > 0).then_some(())
        });
        until("the task has failed", || {
            (state("state") == "retrying").then_some(())
        });
        assert_eq!(state("attempts"), attempt.to_string());
        assert!(worker.is_ready(), "{}", worker.log());
        stores_at_once(&system);
    }
    release(&system);
    until("the task succeeds", || {
        (state("state") == "succeeded").then_some(())
    });
    let log = worker.log();
    assert!(!log.contains("no messages are taken"), "{log}");
    assert!(log.contains("the connection to PostgreSQL ended"), "{log}");
}

/// `ANALYZE events` takes the lock that making a partition needs.
#[test]
fn an_event_whose_partition_cannot_be_made_now_waits_alone() {
    let (system, worker) = System::with_worker("unmade");
    let worker = worker.ready();
    stores_at_once(&system);
    hold(&system, "LOCK TABLE events IN SHARE UPDATE EXCLUSIVE MODE");
    let time = hours_ago(&system, 24 * 6);
    let late = json!([{"ad_id": 7, "kind": "click", "occurred_at": time}]);
    let late = system.accept(&late);
    let put_off = "adtally_events_put_off_total";
    until("the late event is put off", || {
        (worker.metric(put_off) >= 1.0).then_some(())
    });
    for _ in 0..5 {
        stores_at_once(&system);
        std::thread::sleep(Duration::from_millis(500));
    }
    assert!(worker.is_ready(), "{}", worker.log());
    let stored = format!("SELECT count(*) FROM events WHERE event_id = '{}'", late[0]);
    assert_eq!(system.count(&stored), 0);
    release(&system);
    until("the late event is stored too", || {
        (system.count(&stored) == 1).then_some(())
    });
    assert_eq!(system.count("SELECT count(*) FROM dead_letters"), 0);
    let log = worker.log();
    assert!(!log.contains("no messages are taken"), "{log}");
}
