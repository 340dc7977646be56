//! The broker ends, freezes, refuses, forgets its queues and its users.

use std::thread;
use std::time::{Duration, Instant};

use adtally_tests::traffic::Traffic;
use adtally_tests::until;

use super::Row;
use crate::ground::Ground;
use crate::stage::{Afterwards, Setting, Stage};
use crate::wire::Wire;

pub(super) const ROWS: [Row; 10] = [
    Row::of_servers("row_12_broker_restarts", restarts),
    Row::of_servers("row_13_broker_killed", killed),
    Row::of_servers("row_14_broker_frozen", frozen),
    Row::of_servers("row_15_broker_low_on_disk", disk_alarm),
    Row::of_servers("row_16_broker_low_on_memory", memory_alarm),
    Row::of_processes("row_18_queue_deleted_under_its_consumer", queue_deleted),
    Row::of_processes("row_19_exchange_and_binding_deleted", exchange_deleted),
    Row::of_processes("row_20_queue_full", queue_full),
    Row::of_servers("row_21_connections_closed_by_force", connections_closed),
    Row::of_servers("row_22_password_changed", password_changed),
];

/// While the broker is away, and the events go to disk instead.
const LIMIT: Duration = Duration::from_secs(5);

fn restarts(ground: &Ground) {
    let stage = Setting::new(ground, "row-12").start();
    let traffic = stage.traffic();
    for _ in 0..ground.rounds() {
        let restarted = ground.block_on(ground.rabbitmq().restart());
        restarted.expect("the broker starts again");
        until_all_is_well(&stage, &traffic);
    }
    stage.end(traffic, LIMIT);
}

/// No process was started again, and the broker takes messages once more.
pub(super) fn until_all_is_well(stage: &Stage, traffic: &Traffic) {
    traffic.until_accepted(100);
    for worker in &stage.workers {
        worker.until_ready();
        assert_eq!(worker.restarts(), 0, "it needed nobody's hand");
    }
    assert_eq!(stage.api.restarts(), 0, "it needed nobody's hand");
    until("nothing is spooled any more", || {
        (stage.api.process().metric("adtally_spool_events") == 0.0).then_some(())
    });
}

fn killed(ground: &Ground) {
    let stage = Setting::new(ground, "row-13").start();
    let traffic = stage.traffic();
    for _ in 0..ground.rounds() {
        ground.rabbitmq().kill();
        traffic.until_accepted(100);
        let restarted = ground.block_on(ground.rabbitmq().restart());
        restarted.expect("the broker starts again");
        until_all_is_well(&stage, &traffic);
    }
    stage.end(traffic, LIMIT);
}

fn frozen(ground: &Ground) {
    let stage = Setting::new(ground, "row-14").start();
    let traffic = stage.traffic();
    let _resumed = Afterwards::run(|| ground.rabbitmq().resume());
    ground.rabbitmq().pause();
    let began = Instant::now();
    until("the spool fills", || {
        (stage.api.process().metric("adtally_spool_events") > 0.0).then_some(())
    });
    while began.elapsed() < ground.lasting(15, 60) {
        traffic.until_accepted(20);
        let process = stage.api.process();
        assert!(
            process.is_ready(),
            "an event can be kept: {:?}",
            process.readiness()
        );
    }
    let age = stage
        .api
        .process()
        .metric("adtally_spool_oldest_age_seconds");
    assert!(age > 5.0, "the oldest spooled event is {age} s old");
    ground.rabbitmq().resume();
    until_all_is_well(&stage, &traffic);
    let told = traffic.end();
    let p99 = told.percentile(99);
    println!("row-14: 99 % of answers within {p99:?}");
    assert!(p99 < Duration::from_secs(3), "{p99:?}");
    stage.reckon(&told);
}

fn disk_alarm(ground: &Ground) {
    alarm(
        ground,
        "row-15",
        &["set_disk_free_limit", "90000000000000"],
        &["set_disk_free_limit", "200000000"],
    );
}

fn memory_alarm(ground: &Ground) {
    alarm(
        ground,
        "row-16",
        &["set_vm_memory_high_watermark", "0.0001"],
        &["set_vm_memory_high_watermark", "0.4"],
    );
}

fn alarm(ground: &Ground, name: &'static str, raise: &[&str], clear: &[&str]) {
    let stage = Setting::new(ground, name).start();
    let traffic = stage.traffic();
    // Something for the workers to drain meanwhile.
    stage.worker().freeze();
    traffic.until_accepted(200);
    let wire = Wire::to(ground);
    let queue = format!("{}.impressions", stage.system.prefix());
    let _cleared = Afterwards::run(|| {
        let _ = ground.rabbitmq().ctl_blocking(clear);
    });
    ground
        .rabbitmq()
        .ctl_blocking(raise)
        .expect("the alarm is raised");
    until("the spool fills", || {
        (stage.api.process().metric("adtally_spool_events") > 0.0).then_some(())
    });
    let began = Instant::now();
    traffic.until_accepted(100);
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    stage.worker().thaw();
    until("workers go on draining", || {
        (wire.depth(&queue) == 0).then_some(())
    });
    thread::sleep(ground.lasting(2, 30));
    assert!(stage.api.process().is_ready(), "the spool has room");
    ground
        .rabbitmq()
        .ctl_blocking(clear)
        .expect("the alarm is cleared");
    until_all_is_well(&stage, &traffic);
    stage.end(traffic, LIMIT);
}

fn queue_deleted(ground: &Ground) {
    let stage = Setting::new(ground, "row-18").start();
    let wire = Wire::to(ground);
    let mut told = adtally_tests::traffic::Told::default();
    for queue in ["impressions", "clicks", "tasks"] {
        // What is in a queue goes with it, so it is empty, and stays so until it is gone.
        let traffic = stage.traffic();
        told.absorb(traffic.end());
        stage.reckon(&told);
        wire.delete_queue(&format!("{}.{queue}", stage.system.prefix()));
        let traffic = stage.traffic();
        traffic.until_accepted(100);
        told.absorb(traffic.end());
        until("the queue is there again", || {
            stage.worker().process().is_ready().then_some(())
        });
    }
    stage.reckon(&told);
    assert_eq!(stage.worker().restarts() + stage.api.restarts(), 0);
}

fn exchange_deleted(ground: &Ground) {
    let stage = Setting::new(ground, "row-19").start();
    let wire = Wire::to(ground);
    let traffic = stage.traffic();
    let exchange = format!("{}.events", stage.system.prefix());
    wire.delete_exchange(&exchange);
    traffic.until_accepted(200);
    let clicks = format!("{}.clicks", stage.system.prefix());
    wire.unbind(&clicks, &exchange, "event.click");
    traffic.until_accepted(200);
    let reckoning = stage.end(traffic, LIMIT);
    assert!(reckoning.accepted > 500);
}

fn queue_full(ground: &Ground) {
    let stage = Setting::new(ground, "row-20").start();
    let traffic = stage.traffic();
    let wire = Wire::to(ground);
    let prefix = stage.system.prefix();
    let pattern = format!("^{prefix}\\.(impressions|clicks)$");
    let policy = [
        "set_policy",
        prefix,
        &pattern,
        r#"{"max-length": 20}"#,
        "--apply-to",
        "queues",
    ];
    ground
        .rabbitmq()
        .ctl_blocking(&policy)
        .expect("the policy is set");
    stage.worker().freeze();
    until("the broker refuses and the spool fills", || {
        (stage.api.process().metric("adtally_spool_events") > 0.0).then_some(())
    });
    let depths = ["impressions", "clicks"].map(|queue| wire.depth(&format!("{prefix}.{queue}")));
    assert!(depths.iter().any(|depth| *depth >= 20), "{depths:?}");
    traffic.until_accepted(200);
    ground
        .rabbitmq()
        .ctl_blocking(&["clear_policy", prefix])
        .expect("the policy is cleared");
    stage.worker().thaw();
    stage.end(traffic, LIMIT);
}

fn connections_closed(ground: &Ground) {
    let stage = Setting::new(ground, "row-21").start();
    let traffic = stage.traffic();
    for _ in 0..3 {
        let closed = ground
            .rabbitmq()
            .ctl_blocking(&["close_all_connections", "a test"]);
        closed.expect("all connections are closed");
        let began = Instant::now();
        until_all_is_well(&stage, &traffic);
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "{:?}",
            began.elapsed()
        );
    }
    stage.end(traffic, LIMIT);
}

fn password_changed(ground: &Ground) {
    let stage = Setting::new(ground, "row-22").start();
    let traffic = stage.traffic();
    let rabbitmq = ground.rabbitmq();
    let (user, password) = rabbitmq.credentials();
    let ctl = |args: &[&str]| rabbitmq.ctl_blocking(args).expect("rabbitmqctl");
    let _restored = Afterwards::run(|| {
        let _ = rabbitmq.ctl_blocking(&["change_password", user, password]);
    });
    ctl(&["change_password", user, "another"]);
    ctl(&["close_all_connections", "a test"]);
    until("the worker says that it cannot log in", || {
        let worker = stage.worker().process();
        (!worker.is_ready()
            && worker
                .log()
                .contains("check the user name and the password"))
        .then_some(())
    });
    traffic.until_accepted(100);
    ctl(&["change_password", user, password]);
    until_all_is_well(&stage, &traffic);
    assert!(
        !stage.system.all_logs().contains(password),
        "no log holds the password"
    );
    stage.end(traffic, LIMIT);
}
