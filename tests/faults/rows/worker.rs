//! Workers are killed at every step, frozen, starved, asked to leave, and hired by the dozen.

use std::process::Command;
use std::thread;
use std::time::Duration;

use adtally_domain::{SweepDirty, Task};
use adtally_tests::proxy::{Fault, Proxy, Way};
use adtally_tests::traffic::{Told, past_id};
use adtally_tests::until;
use lapin::BasicProperties;
use serde_json::json;
use uuid::Uuid;

use super::Row;
use crate::ground::Ground;
use crate::hold::Hold;
use crate::stage::{Setting, Stage, before_rabbitmq};
use crate::wire::{ACK, Wire};

pub(super) const ROWS: [Row; 9] = [
    Row::of_processes("row_06_worker_killed_before_its_commit", before_commit),
    Row::of_processes("row_06_worker_killed_in_a_roll_up", in_roll_up),
    Row::of_processes("row_07_worker_killed_before_it_acknowledges", before_ack),
    Row::of_processes(
        "row_08_worker_killed_between_acknowledgements",
        between_acks,
    ),
    Row::of_processes(
        "row_09_worker_stops_in_the_middle_of_a_batch",
        stops_mid_batch,
    ),
    Row::of_processes("row_10_worker_runs_out_of_memory", out_of_memory),
    Row::of_processes("row_11_worker_frozen_past_its_heartbeat", frozen),
    Row::of_processes("row_30_task_past_its_time_limit", past_time_limit),
    Row::of_processes("row_55_from_one_worker_to_eight_and_back", scaled),
];

const LIMIT: Duration = Duration::from_secs(10);

fn before_commit(ground: &Ground) {
    let stage = Setting::new(ground, "row-06")
        .two_batches_at_a_time()
        .start();
    let traffic = stage.traffic();
    for _ in 0..3 {
        // The rows are copied, and the marks that belong to them cannot be written.
        let hold = Hold::of(&stage.system, "LOCK TABLE dirty_hours");
        hold.until_it_bites();
        stage.worker().kill();
        drop(hold);
        traffic.until_accepted(100);
    }
    stage.end(traffic, LIMIT);
}

fn in_roll_up(ground: &Ground) {
    let stage = Setting::new(ground, "row-06-roll-up").start();
    let traffic = stage.traffic();
    for table in ["ad_hourly_stats", "ad_daily_stats"] {
        // Totals are computed, and cannot be written.
        let hold = Hold::of(&stage.system, &format!("LOCK TABLE {table} IN SHARE MODE"));
        let sweep = SweepDirty {}.message(Uuid::new_v4());
        stage.system.publish(&sweep);
        hold.until_it_bites();
        stage.worker().kill();
        drop(hold);
        stage.worker().until_ready();
        traffic.until_accepted(100);
    }
    stage.end(traffic, LIMIT);
}

/// The worker and its broker with a proxy between them.
fn behind_a_proxy(ground: &Ground, name: &'static str) -> (Stage, Proxy) {
    let (proxy, url) = before_rabbitmq(ground);
    let setting = Setting::new(ground, name);
    (setting.worker("ADTALLY_AMQP_URL", url).start(), proxy)
}

fn before_ack(ground: &Ground) {
    let (stage, proxy) = behind_a_proxy(ground, "row-07");
    let traffic = stage.traffic();
    let mut duplicates = 0.0;
    for _ in 0..3 {
        proxy.set(Fault::Hole(Way::ToServer));
        // They are acknowledged once they are stored, and not before.
        proxy.until_held("an acknowledgement is held back", &ACK);
        stage.worker().kill();
        proxy.set(Fault::Reset);
        stage.worker().until_ready();
        let process = stage.worker();
        until("what came again was known", || {
            let known = process.process().metric("adtally_events_duplicate_total");
            (known > 0.0).then(|| duplicates += known)
        });
    }
    stage.end(traffic, LIMIT);
    println!("row-07: {duplicates} events came again in all");
}

fn between_acks(ground: &Ground) {
    let (stage, proxy) = behind_a_proxy(ground, "row-08");
    let traffic = stage.traffic();
    for bytes in [1, 21, 22, 42, 100] {
        let (restarts, resets) = (stage.worker().restarts(), proxy.resets());
        proxy.set(Fault::CutAfter(bytes));
        until("its acknowledgements are cut off", || {
            (proxy.resets() > resets).then_some(())
        });
        stage.worker().kill();
        proxy.set(Fault::Pass);
        until("the worker is back", || {
            (stage.worker().restarts() > restarts).then_some(())
        });
        stage.worker().until_ready();
        traffic.until_accepted(100);
    }
    stage.end(traffic, LIMIT);
}

fn stops_mid_batch(ground: &Ground) {
    let mut stage = Setting::new(ground, "row-09")
        .workers(2)
        .two_batches_at_a_time()
        .start();
    let traffic = stage.traffic();
    for _ in 0..2 {
        stage.hire();
        let leaving = stage.workers.remove(0);
        let hold = Hold::of(&stage.system, "LOCK TABLE dirty_hours");
        hold.until_it_bites();
        let stopped = thread::scope(|scope| {
            let stopping = scope.spawn(|| leaving.stop());
            thread::sleep(Duration::from_millis(500));
            drop(hold);
            stopping.join().expect("a worker that stops")
        });
        assert!(stopped.success(), "{stopped}");
        traffic.until_accepted(200);
    }
    stage.end(traffic, LIMIT);
}

fn out_of_memory(ground: &Ground) {
    let stage = Setting::new(ground, "row-10").start();
    let wire = Wire::to(ground);
    let clicks = format!("{}.clicks", stage.system.prefix());
    let traffic = stage.traffic();
    let mut large = Vec::new();
    // Each asks for more memory than the worker can have left of the one before; the last is nearly as
    // large as RabbitMQ 4 takes unless told otherwise, 16 MiB.
    for megabytes in [2, 5, 15] {
        let pid = stage.worker().process().pid().to_string();
        let restarts = stage.worker().restarts();
        stage.worker().freeze();
        let ids: Vec<_> = (0..megabytes * 1_000).map(past_id).collect();
        let entries = ids.iter().map(|id| {
            json!({"event_id": id, "kind": "click", "ad_id": 8, "referer": "r".repeat(900),
                   "received_at": "2026-11-22T06:00:00.123Z"})
        });
        let pack = json!({"v": 1, "events": entries.collect::<Vec<_>>()});
        wire.publish(
            &clicks,
            pack.to_string().as_bytes(),
            BasicProperties::default(),
        );
        large.extend(ids.iter().map(ToString::to_string));
        // It keeps what it has, and gets no more for all that waits.
        let capped = Command::new("prlimit")
            .args(["--pid", &pid, "--data=1000000"])
            .status();
        assert!(capped.expect("prlimit").success());
        stage.worker().thaw();
        until("the worker ends for want of memory", || {
            (stage.worker().restarts() > restarts).then_some(())
        });
        stage.worker().until_ready();
        traffic.until_accepted(100);
    }
    let mut told = traffic.end();
    told.accepted.extend(large);
    stage.reckon(&told);
}

fn frozen(ground: &Ground) {
    let stage = Setting::new(ground, "row-11").workers(2).start();
    let traffic = stage.traffic();
    stage.worker().freeze();
    thread::sleep(ground.lasting(15, 60));
    stage.worker().thaw();
    traffic.until_accepted(300);
    stage.end(traffic, LIMIT);
    assert_eq!(stage.worker().restarts(), 0, "it needed nobody's hand");
}

fn past_time_limit(ground: &Ground) {
    let stage = Setting::new(ground, "row-30-task").start();
    let system = &stage.system;
    let mut sweep = SweepDirty {}.message(Uuid::new_v4());
    sweep.time_limit = Some(Duration::from_secs(1));
    let hold = Hold::of(system, "LOCK TABLE dirty_hours");
    system.publish(&sweep);
    let waits = format!("{}.tasks.retry.2s", system.prefix());
    let wire = Wire::to(ground);
    until("the task waits in a retry queue, in nobody's hand", || {
        (wire.depth(&waits) == 1).then_some(())
    });
    let letters =
        "SELECT count(*) FROM dead_letters WHERE reason = 'max_attempts' AND state = 'new'";
    until("it is given up", || {
        (system.count(letters) == 1).then_some(())
    });
    let run = |column: &str| {
        let id = sweep.id;
        system.sql(&format!(
            "SELECT {column} FROM task_runs WHERE task_id = '{id}'"
        ))
    };
    assert_eq!(run("attempts, state").trim(), "3|discarded");
    drop(hold);
    let (code, out, err) = system.adtally(&[
        "dead-letters",
        "requeue",
        "--all",
        "--reason",
        "max_attempts",
    ]);
    assert_eq!(code, 0, "{out}{err}");
    until("it has run", || {
        (run("state").trim() == "succeeded").then_some(())
    });
    stage.reckon(&Told::default());
}

fn scaled(ground: &Ground) {
    let mut stage = Setting::new(ground, "row-55").start();
    let traffic = stage.traffic();
    for _ in 0..7 {
        stage.hire();
        traffic.until_accepted(50);
    }
    while stage.workers.len() > 1 {
        let status = stage.workers.remove(0).stop();
        assert!(status.success(), "{status}");
        traffic.until_accepted(50);
    }
    stage.end(traffic, LIMIT);
}
