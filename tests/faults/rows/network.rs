//! The network resets, swallows, delays and starves connections.

use std::thread;
use std::time::Duration;

use adtally_tests::proxy::{Fault, Way};

use super::Row;
use crate::ground::Ground;
use crate::stage::{Setting, before_rabbitmq};

pub(super) const ROWS: [Row; 3] = [
    Row::of_processes("row_23_connections_reset_cut_and_half_closed", reset),
    Row::of_processes("row_24_bytes_vanish", black_hole),
    Row::of_processes("row_25_network_slow_and_narrow", slow),
];

const LIMIT: Duration = Duration::from_secs(6);

fn reset(ground: &Ground) {
    let (proxy, url) = before_rabbitmq(ground);
    let setting = Setting::new(ground, "row-23").without_spool();
    let stage = setting
        .all(|system| system.variable("ADTALLY_AMQP_URL", url))
        .start();
    let traffic = stage.traffic();
    for fault in [
        Fault::Reset,
        Fault::CutAfter(1),
        Fault::CutAfter(700),
        Fault::CutAfter(5_000),
        Fault::CutAfter(40_000),
        Fault::HalfClose,
        Fault::Refuse,
    ] {
        proxy.set(fault);
        thread::sleep(Duration::from_millis(700));
        proxy.set(Fault::Pass);
        traffic.until_accepted(100);
    }
    stage.end(traffic, LIMIT);
    assert_eq!(stage.api.restarts() + stage.worker().restarts(), 0);
}

fn black_hole(ground: &Ground) {
    let (proxy, url) = before_rabbitmq(ground);
    let setting = Setting::new(ground, "row-24");
    let stage = setting
        .all(|system| system.variable("ADTALLY_AMQP_URL", url))
        .start();
    let traffic = stage.traffic();
    for way in [Way::ToClient, Way::ToServer, Way::Both] {
        proxy.set(Fault::Hole(way));
        thread::sleep(ground.lasting(12, 60));
        // Events are taken all the time: the deadline for a confirm passes before a heartbeat is missed.
        traffic.until_accepted(50);
        proxy.set(Fault::Pass);
        traffic.until_accepted(100);
        stage.worker().until_ready();
    }
    stage.end(traffic, LIMIT);
    assert_eq!(stage.api.restarts() + stage.worker().restarts(), 0);
}

fn slow(ground: &Ground) {
    let (proxy, url) = before_rabbitmq(ground);
    let setting = Setting::new(ground, "row-25");
    let stage = setting.api("ADTALLY_AMQP_URL", url).start();
    let traffic = stage.traffic();
    let before = memory(stage.api.process().pid());
    for fault in [
        Fault::Delay(Duration::from_millis(500)),
        Fault::Throttle(10_000),
    ] {
        proxy.set(fault);
        thread::sleep(ground.lasting(8, 60));
        traffic.until_accepted(50);
        proxy.set(Fault::Pass);
        traffic.until_accepted(100);
    }
    let after = memory(stage.api.process().pid());
    println!("row-25: the API's memory went from {before} to {after} KiB");
    assert!(after < before + 100 * 1024, "{before} to {after} KiB");
    stage.end(traffic, LIMIT);
}

/// The resident memory of a process, in KiB.
fn memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .expect("its memory");
    let number = line.split_whitespace().nth(1).expect("a number");
    number.parse().expect("a number")
}
