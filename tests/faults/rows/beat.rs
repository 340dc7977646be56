//! Beats: many at once, killed and frozen at every step, away for a day, with wrong clocks.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use adtally_devstack::{PostgresOptions, PostgresServer};
use adtally_tests::proxy::{Fault, Way};
use adtally_tests::traffic::Told;
use adtally_tests::{Supervised, migrate, until_within};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::Row;
use crate::ground::Ground;
use crate::shims::Clock;
use crate::stage::{Setting, Stage, before_rabbitmq};

pub(super) const ROWS: [Row; 5] = [
    Row::of_processes("row_43_three_beats_killed_and_frozen", many),
    Row::of_processes("row_44_beat_killed_between_row_message_and_mark", mid_send),
    Row::of_processes("row_45_beat_away_for_26_hours", away),
    Row::of_processes("row_46_clocks_two_hours_off", clocks),
    Row::of_processes("row_47_days_of_23_and_25_hours", daylight_saving),
];

const LIMIT: Duration = Duration::from_secs(5);

/// Starts a beat under supervision.
fn beat(stage: &Stage, more: &[(&'static str, String)]) -> Supervised {
    stage
        .system
        .supervised("adtally-beat", "ADTALLY_HEALTH_BIND", more)
}

/// Has the schedule begin so many hours ago, with everything still to be sent.
fn begin_schedule(stage: &Stage, hours: u32) {
    stage.system.sql(&format!(
        "INSERT INTO settings VALUES ('schedule_from', (now() - interval '{hours} hours')::text) \
         ON CONFLICT (key) DO UPDATE SET value = excluded.value"
    ));
}

/// What should have been sent since the schedule began, in a zone whose hours are those of UTC,
/// joined with what was.
fn due(zone: &str) -> String {
    format!(
        "WITH since AS (SELECT value::timestamptz AS at FROM settings WHERE key = 'schedule_from'), \
         days AS (SELECT (day AT TIME ZONE '{zone}') AS slot FROM since, generate_series( \
             date_trunc('day', at AT TIME ZONE '{zone}'), now() AT TIME ZONE '{zone}', '1 day') AS day), \
         due AS ( \
             SELECT 'aggregate-last-hour' AS entry, slot FROM since, generate_series( \
                 date_trunc('hour', at) + interval '1 hour', now(), '1 hour') AS slot \
             UNION ALL SELECT 'aggregate-last-day', slot FROM days, since WHERE slot > at), \
         over AS (SELECT * FROM due WHERE slot <= now() - interval '15 s') \
         SELECT count(*) FROM over \
         FULL JOIN (SELECT * FROM schedule_runs WHERE entry LIKE 'aggregate-last-%') AS runs \
             USING (entry, slot) LEFT JOIN task_runs USING (task_id)"
    )
}

/// Waits until every slot's task has run, and checks that each ran once, in order, and no other.
fn every_slot_once(ground: &Ground, stage: &Stage, zone: &str) -> u64 {
    let due = due(zone);
    let open = format!(
        "{due} WHERE state IS DISTINCT FROM 'succeeded' OR over.slot IS NULL OR enqueued_at IS NULL"
    );
    let what = "every slot that is due, and no other, was sent and its task has run";
    until_within(ground.lasting(180, 300), what, || {
        (stage.system.count(&open) == 0).then_some(())
    });
    let twice = "SELECT count(*) FROM (SELECT arguments FROM task_runs \
                 WHERE name LIKE 'adtally.aggregate_%' AND task_id IN \
                     (SELECT task_id FROM schedule_runs) \
                 GROUP BY name, arguments HAVING count(*) > 1) AS repeated";
    assert_eq!(stage.system.count(twice), 0, "a slot with two tasks");
    let slots = stage.system.count(&due);
    println!("{slots} slots, each once");
    slots
}

fn many(ground: &Ground) {
    let stage = Setting::new(ground, "row-43").workers(2).start();
    begin_schedule(&stage, 300);
    let beats: Vec<_> = (0..3).map(|_| beat(&stage, &[])).collect();
    let sent = "SELECT count(*) FROM schedule_runs WHERE enqueued_at IS NOT NULL";
    for round in 0..6 {
        let goal = stage.system.count(sent) + 20;
        let beat = &beats[round % 3];
        if round % 2 == 0 {
            beat.kill();
        } else {
            beat.freeze();
        }
        until_within(Duration::from_secs(60), "the others go on", || {
            let all = 300;
            (stage.system.count(sent) >= goal.min(all)).then_some(())
        });
        beat.thaw();
    }
    assert!(every_slot_once(ground, &stage, "UTC") > 300);
    stage.reckon(&Told::default());
}

fn mid_send(ground: &Ground) {
    let stage = Setting::new(ground, "row-44").start();
    let (proxy, url) = before_rabbitmq(ground);
    begin_schedule(&stage, 60);
    let beat = beat(&stage, &[("ADTALLY_AMQP_URL", url)]);
    let unmarked = "SELECT count(*) FROM schedule_runs WHERE enqueued_at IS NULL";
    for round in 0..6 {
        // Written and not sent; then sent and not marked.
        let way = if round % 2 == 0 {
            Way::ToServer
        } else {
            Way::ToClient
        };
        proxy.set(Fault::Hole(way));
        let stuck = || (stage.system.count(unmarked) > 0).then_some(());
        let finished = || {
            let unfinished = format!("{} WHERE enqueued_at IS NULL", due("UTC"));
            (stage.system.count(&unfinished) == 0).then_some(())
        };
        until_within(
            Duration::from_secs(60),
            "a slot is written and not marked",
            || stuck().or_else(finished),
        );
        thread::sleep(Duration::from_millis(300));
        beat.kill();
        proxy.set(Fault::Reset);
        let before = beat.restarts();
        until_within(Duration::from_secs(60), "the beat is back", || {
            (beat.restarts() >= before).then_some(())
        });
        thread::sleep(Duration::from_millis(400));
    }
    proxy.set(Fault::Pass);
    assert!(every_slot_once(ground, &stage, "UTC") >= 60);
    stage.reckon(&Told::default());
}

fn away(ground: &Ground) {
    let stage = Setting::new(ground, "row-45").start();
    begin_schedule(&stage, 28);
    let first = beat(&stage, &[]);
    every_slot_once(ground, &stage, "UTC");
    assert!(first.stop().success());
    // As if it had stopped 26 hours ago.
    stage.system.sql(
        "WITH later AS (DELETE FROM schedule_runs WHERE slot > now() - interval '26 hours' \
             RETURNING task_id) \
         DELETE FROM task_runs USING later WHERE task_runs.task_id = later.task_id",
    );
    let traffic = stage.traffic();
    let beats = [beat(&stage, &[]), beat(&stage, &[])];
    let slots = every_slot_once(ground, &stage, "UTC");
    assert!(slots >= 28, "{slots}");
    let order = "SELECT count(*) FROM (SELECT enqueued_at, lag(enqueued_at) OVER \
                     (PARTITION BY entry ORDER BY slot) AS before FROM schedule_runs \
                     WHERE entry = 'aggregate-last-hour') AS sent WHERE enqueued_at < before";
    assert_eq!(stage.system.count(order), 0, "the oldest goes first");
    stage.end(traffic, LIMIT);
    drop(beats);
}

fn clocks(ground: &Ground) {
    let clock = Clock::new();
    let [library, shift] = clock.variables();
    let mut setting = Setting::new(ground, "row-46");
    for (name, value) in [library.clone(), shift.clone()] {
        setting = setting.api(name, value.clone()).worker(name, value);
    }
    let stage = setting.start();
    begin_schedule(&stage, 5);
    let beats = [beat(&stage, &[library, shift]), beat(&stage, &[])];
    let mut told = Told::default();
    for seconds in [0, 7_200, -7_200, 3, -3, 7_200] {
        clock.set(seconds);
        let traffic = stage.traffic();
        // Without an id or a time the API's clock decides; it must not decide twice.
        for _ in 0..5 {
            told.accepted.extend(stage.system.accept(&json!([
                {"ad_id": 3, "kind": "impression"},
                {"ad_id": 3, "kind": "click"},
            ])));
        }
        told.absorb(traffic.end());
        every_slot_once(ground, &stage, "UTC");
    }
    clock.set(0);
    stage.reckon(&told);
    drop(beats);
}

fn daylight_saving(ground: &Ground) {
    let clock = Clock::new();
    let postgres = clock.variables().into_iter().fold(
        PostgresOptions::new(&ground.programs()),
        |options, (name, value)| options.env(name, value),
    );
    let postgres = ground.block_on(PostgresServer::start(postgres));
    let postgres = Arc::new(postgres.expect("a database with a clock of its own"));
    for (name, begin, now, hours) in [
        (
            "row-47-autumn",
            "2026-10-24T12:10:00Z",
            "2026-10-26T01:00:30Z",
            25,
        ),
        (
            "row-47-spring",
            "2026-03-28T12:10:00Z",
            "2026-03-30T01:00:30Z",
            23,
        ),
    ] {
        let now: DateTime<Utc> = now.parse().expect("a time");
        clock.set((now - crate::ground::now()).num_seconds());
        changing_day(ground, &clock, &postgres, (name, begin, hours));
    }
}

/// One day on which clocks change, for beat, workers, API and database.
fn changing_day(
    ground: &Ground,
    clock: &Clock,
    postgres: &Arc<PostgresServer>,
    (name, begin, hours): (&'static str, &str, i64),
) {
    let database = name.replace('-', "_");
    let create = format!("CREATE DATABASE {database}");
    postgres
        .psql_blocking("postgres", &create)
        .expect("a database");
    let url = postgres.database_url(&database);
    migrate(&url);
    let server = Arc::clone(postgres);
    let psql = move |sql: &str| {
        server
            .psql_blocking(&database, sql)
            .map_err(|error| error.to_string())
    };
    let setting = Setting::new(ground, name).workers(2).all(|system| {
        let system = system.timezone("Europe/Berlin").database(url, psql);
        let variables = clock.variables().into_iter();
        variables.fold(system, |system, (name, value)| system.variable(name, value))
    });
    let stage = setting.start();
    stage.system.sql(&format!(
        "INSERT INTO settings VALUES ('schedule_from', '{begin}') \
         ON CONFLICT (key) DO UPDATE SET value = excluded.value"
    ));
    let beat = beat(&stage, &[]);
    let begin: DateTime<Utc> = begin.parse().expect("a time");
    // The local midnight after it, the last one before the clocks change.
    let midnight = begin + TimeDelta::minutes(if hours == 25 { 590 } else { 650 });
    let events: Vec<_> = (0..hours)
        .map(|hour| {
            let at = midnight + TimeDelta::hours(hour) + TimeDelta::minutes(30);
            json!({"ad_id": 9, "kind": "impression", "occurred_at": at.to_rfc3339()})
        })
        .collect();
    let mut told = Told::default();
    told.accepted.extend(stage.system.accept(&json!(events)));
    assert!(every_slot_once(ground, &stage, "Europe/Berlin") > 35);
    let in_day = format!(
        "SELECT count(*) FROM schedule_runs WHERE entry = 'aggregate-last-hour' \
         AND slot > '{midnight}' AND slot <= '{}'",
        midnight + TimeDelta::hours(hours)
    );
    assert_eq!(
        stage.system.count(&in_day),
        u64::try_from(hours).expect("hours")
    );
    stage.reckon(&told);
    let days = stage.system.sql("SELECT impressions FROM ad_daily_stats");
    assert_eq!(days.trim(), hours.to_string());
    drop(beat);
}
