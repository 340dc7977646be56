//! The database ends, freezes, fills, fails over, and changes under its users.

use std::thread;
use std::time::Duration;

use adtally_domain::{AggregateHour, Task};
use adtally_tests::{Supervised, until};
use chrono::{DurationRound, TimeDelta};
use uuid::Uuid;

use super::Row;
use crate::ground::{Ground, now};
use crate::hold::Hold;
use crate::stage::{Afterwards, Setting};

pub(super) const ROWS: [Row; 6] = [
    Row::of_servers(
        "row_29_database_restarts_is_killed_and_drops_its_sessions",
        restarted,
    ),
    Row::of_servers("row_30_database_frozen_and_locked", frozen),
    Row::of_processes("row_31_roll_ups_and_batches_meet", contended),
    Row::of_processes("row_33_database_has_no_connection_left", exhausted),
    Row::of_processes("row_35_partition_missing", partition_missing),
    Row::of_processes("row_36_migrated_while_running", migrated),
];

/// The API takes events without the database.
const LIMIT: Duration = Duration::from_secs(5);

fn restarted(ground: &Ground) {
    let stage = Setting::new(ground, "row-29").workers(2).start();
    let traffic = stage.traffic();
    let postgres = ground.postgres();
    let terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                     WHERE datname = current_database() AND pid <> pg_backend_pid()";
    for _ in 0..10 {
        stage.system.sql(terminate);
        traffic.until_accepted(20);
    }
    ground
        .block_on(postgres.restart())
        .expect("a clean restart");
    traffic.until_accepted(200);
    postgres.kill();
    thread::sleep(ground.lasting(3, 60));
    traffic.until_accepted(100);
    ground
        .block_on(postgres.restart())
        .expect("a start after a crash");
    traffic.until_accepted(100);
    let reckoning = stage.end(traffic, LIMIT);
    assert_eq!(reckoning.dead, 0, "an outage makes no dead letters");
    assert!(stage.workers.iter().all(|worker| worker.restarts() == 0));
}

fn frozen(ground: &Ground) {
    let stage = Setting::new(ground, "row-30").start();
    let traffic = stage.traffic();
    let _resumed = Afterwards::run(|| ground.postgres().resume());
    ground.postgres().pause();
    thread::sleep(ground.lasting(15, 90));
    traffic.until_accepted(100);
    ground.postgres().resume();
    stage.worker().until_ready();
    let hold = Hold::of(&stage.system, "LOCK TABLE events, dirty_hours");
    thread::sleep(ground.lasting(15, 90));
    traffic.until_accepted(100);
    drop(hold);
    let reckoning = stage.end(traffic, LIMIT);
    assert_eq!(reckoning.dead, 0, "an outage makes no dead letters");
    assert_eq!(stage.worker().restarts(), 0, "it needed nobody's hand");
}

fn contended(ground: &Ground) {
    let stage = Setting::new(ground, "row-31").workers(3).start();
    let traffic = stage.traffic();
    let hours: Vec<_> = (2..28)
        .map(|back| now() - TimeDelta::hours(back))
        .map(|time| time.duration_trunc(TimeDelta::hours(1)).expect("an hour"))
        .collect();
    for _ in 0..4 {
        for hour in &hours {
            // Two at once of each hour, while events come in.
            for _ in 0..2 {
                let task = AggregateHour { hour: *hour };
                stage.system.publish(&task.message(Uuid::new_v4()));
            }
        }
        traffic.until_accepted(100);
    }
    let done = "SELECT count(*) FROM task_runs WHERE name = 'adtally.aggregate_hour' \
                AND state = 'succeeded'";
    until("all roll-ups are done", || {
        (stage.system.count(done) >= hours.len() as u64 * 8).then_some(())
    });
    let reckoning = stage.end(traffic, LIMIT);
    assert_eq!(reckoning.dead, 0);
}

fn exhausted(ground: &Ground) {
    let stage = Setting::new(ground, "row-33")
        .workers(2)
        .plain_role()
        .start();
    let traffic = stage.traffic();
    let role = stage.system.prefix();
    let allow = |connections: i32| {
        let sql = format!("ALTER ROLE \"{role}\" CONNECTION LIMIT {connections}");
        stage.system.sql(&sql);
    };
    allow(0);
    stage.system.sql(&format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'"
    ));
    until("the workers say that they get no connection", || {
        let says = |worker: &Supervised| {
            let process = worker.process();
            !process.is_ready() && process.log().contains("too many connections")
        };
        stage.workers.iter().all(says).then_some(())
    });
    traffic.until_accepted(100);
    allow(-1);
    let reckoning = stage.end(traffic, LIMIT);
    assert_eq!(reckoning.dead, 0, "an outage makes no dead letters");
    assert!(stage.workers.iter().all(|worker| worker.restarts() == 0));
}

fn partition_missing(ground: &Ground) {
    let stage = Setting::new(ground, "row-35").workers(2).start();
    let drop_all = "SELECT 'DROP TABLE ' || inhrelid::regclass || ';' FROM pg_inherits \
                    WHERE inhparent = 'events'::regclass";
    let traffic = stage.traffic();
    let mut told = traffic.end();
    stage.reckon(&told);
    // The workers believe that these are there.
    let drops = stage.system.sql(drop_all);
    stage
        .system
        .sql(&format!("BEGIN; TRUNCATE events; {drops} COMMIT"));
    told.accepted.clear();
    told.unclear.clear();
    stage
        .system
        .sql("TRUNCATE ad_hourly_stats, ad_daily_stats, dirty_hours, dirty_days");
    let traffic = stage.traffic();
    traffic.until_accepted(200);
    let reckoning = stage.end(traffic, LIMIT);
    assert_eq!(reckoning.dead, 0);
}

fn migrated(ground: &Ground) {
    let stage = Setting::new(ground, "row-36").workers(2).start();
    let traffic = stage.traffic();
    for round in 0..3 {
        let (code, _, err) = stage.system.adtally(&["migrate"]);
        assert_eq!(code, 0, "{err}");
        // What a later version would do: columns and tables that these binaries do not know.
        stage.system.sql(&format!(
            "SET lock_timeout = '5s'; \
             ALTER TABLE task_runs ADD COLUMN later_{round} text; \
             ALTER TABLE dead_letters ADD COLUMN later_{round} integer NOT NULL DEFAULT 0; \
             ALTER TABLE ad_hourly_stats ADD COLUMN later_{round} bigint; \
             CREATE TABLE later_{round} (id bigint)"
        ));
        traffic.until_accepted(150);
    }
    stage.end(traffic, LIMIT);
}
