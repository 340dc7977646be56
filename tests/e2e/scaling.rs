//! More processes change how fast things are done, never what comes of it.

use std::collections::BTreeMap;
use std::fmt::Write;

use adtally_tests::{Process, System, until};
use serde_json::{Value, json};

const EVENTS: usize = 3_000;

/// An event, as indexes of its hour since 2026-03-01T00:00Z, ad and kind.
type Made = (usize, usize, bool);

/// The same events in every run: three days of 40 ads, from a linear congruential generator.
fn made() -> Vec<Made> {
    let mut state: u64 = 42;
    let mut below = |bound: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % bound
    };
    (0..EVENTS)
        .map(|_| (below(72), 1 + below(40), below(10) == 0))
        .collect()
}

fn event((number, (hour, ad, click)): (usize, &Made)) -> Value {
    let (day, hour) = (1 + hour / 24, hour % 24);
    json!({
        "ad_id": ad,
        "kind": if *click { "click" } else { "impression" },
        "event_id": format!("event-{number}"),
        "occurred_at": format!("2026-03-{day:02}T{hour:02}:30:00Z"),
    })
}

/// What `System::totals` must show of `events`.
fn expected(events: &[Made]) -> String {
    let (mut hours, mut days) = (BTreeMap::new(), BTreeMap::new());
    for (hour, ad, click) in events {
        for (table, bucket) in [(&mut hours, *hour), (&mut days, hour / 24)] {
            let counts: &mut [u32; 2] = table.entry((bucket, *ad)).or_default();
            counts[usize::from(*click)] += 1;
        }
    }
    let mut text = String::new();
    for ((hour, ad), [impressions, clicks]) in hours {
        let (day, hour) = (1 + hour / 24, hour % 24);
        writeln!(
            text,
            "2026-03-{day:02} {hour:02}:00:00+00|{ad}|{impressions}|{clicks}"
        )
        .unwrap();
    }
    text.push('\n');
    for ((day, ad), [impressions, clicks]) in days {
        writeln!(text, "2026-03-{:02}|{ad}|{impressions}|{clicks}", day + 1).unwrap();
    }
    text.trim_end().to_owned()
}

/// The totals of a system with so many workers and beats.
fn totals_with(name: &str, replicas: usize) -> String {
    let system = System::builder(name).max_event_age("36500d").start();
    let start = |program| system.start_with(program, "ADTALLY_HEALTH_BIND", &[]);
    let programs = ["adtally-worker", "adtally-beat"].into_iter().cycle();
    let started: Vec<_> = programs.take(2 * replicas).map(start).collect();
    let _running: Vec<_> = started.into_iter().map(Process::ready).collect();

    let events: Vec<_> = made().iter().enumerate().map(event).collect();
    // The second half reaches into hours and days that were rolled up before.
    for half in events.chunks(EVENTS / 2) {
        let before = system.count("SELECT count(*) FROM events");
        for part in half.chunks(100) {
            system.accept(&part.iter().cloned().collect());
        }
        system.wait_for_events(before + half.len() as u64);
        system.settle();
    }
    assert!(system.count("SELECT count(*) FROM restatements") > 0);
    system.totals()
}

#[test]
fn two_workers_and_two_beats_make_the_same_totals_as_one_of_each() {
    let expected = expected(&made());
    assert_eq!(totals_with("one-of-each", 1), expected);
    assert_eq!(totals_with("two-of-each", 2), expected);
}

/// The slots that were due since `settings.schedule_from`, with what became of them. Hours and days
/// are those of UTC, as is the session.
const DUE: &str = "
    WITH since AS (SELECT value::timestamptz AS at FROM settings WHERE key = 'schedule_from'),
    due AS (
        SELECT 'aggregate-last-hour' AS entry, slot FROM since,
            generate_series(date_trunc('hour', at) + interval '1 hour',
                            now() - interval '15 s', '1 hour') AS slot
        UNION ALL
        SELECT 'aggregate-last-day', slot FROM since,
            generate_series(date_trunc('day', at) + interval '1 day',
                            now() - interval '15 s', '1 day') AS slot
    )
    SELECT count(*) FROM due
    FULL JOIN (SELECT * FROM schedule_runs WHERE entry LIKE 'aggregate-last-%') AS runs
        USING (entry, slot)
    LEFT JOIN task_runs USING (task_id)";

#[test]
fn two_beats_send_every_slot_of_26_hours_once_and_each_task_runs_once() {
    let system = System::builder("two-beats").without_api();
    system
        .sql("INSERT INTO settings VALUES ('schedule_from', (now() - interval '26 hours')::text)");
    let start = |program: &&str| system.start_with(program, "ADTALLY_HEALTH_BIND", &[]);
    let programs = [
        "adtally-beat",
        "adtally-beat",
        "adtally-worker",
        "adtally-worker",
    ];
    let started: Vec<_> = programs.iter().map(start).collect();
    let running: Vec<_> = started.into_iter().map(Process::ready).collect();

    let unfinished = format!("{DUE} WHERE state IS DISTINCT FROM 'succeeded'");
    until("every slot's task has run", || {
        (system.count(&unfinished) == 0).then_some(())
    });
    // Neither a slot that was not due, nor a second attempt.
    let wrong = format!("{DUE} WHERE due.slot IS NULL OR attempts <> 1 OR enqueued_at IS NULL");
    assert_eq!(system.count(&wrong), 0);
    assert!(system.count(DUE) > 25);

    for task in ["aggregate_hour", "aggregate_day"] {
        let runs = format!("SELECT count(*) FROM task_runs WHERE name = 'adtally.{task}'");
        let metric =
            format!("adtally_tasks_total{{outcome=\"succeeded\",task=\"adtally.{task}\"}}");
        let succeeded = || {
            running[2..]
                .iter()
                .map(|worker| worker.metric(&metric))
                .sum::<f64>()
        };
        until("the workers have counted their runs", || {
            (succeeded() >= system.count(&runs) as f64).then_some(())
        });
        assert_eq!(succeeded(), system.count(&runs) as f64, "{task}");
    }
}

#[test]
fn a_beat_that_is_killed_while_it_catches_up_leaves_no_slot_out() {
    let system = System::builder("killed-beat").without_api();
    system.sql("INSERT INTO settings VALUES ('schedule_from', (now() - interval '10 days')::text)");
    let _worker = system.worker();
    let beat = system.start_with("adtally-beat", "ADTALLY_HEALTH_BIND", &[]);
    until("beat has begun", || {
        (system.count("SELECT count(*) FROM schedule_runs") > 0).then_some(())
    });
    beat.kill();
    let _other = system.beat();
    let unsent = format!("{DUE} WHERE due.slot IS NULL OR enqueued_at IS NULL");
    until("every slot is sent", || {
        (system.count(&unsent) == 0).then_some(())
    });
    assert!(system.count(DUE) > 9 * 25);
}
