//! A process may open no more files.

use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use adtally_tests::{Process, until};

use super::Row;
use super::broker::until_all_is_well;
use crate::ground::Ground;
use crate::stage::Setting;

pub(super) const ROWS: [Row; 1] = [Row::of_servers(
    "row_50_no_descriptor_left",
    no_descriptor_left,
)];

const LIMIT: Duration = Duration::from_secs(6);

/// More than any process may open here.
const CONNECTIONS: usize = 400;

fn no_descriptor_left(ground: &Ground) {
    let stage = Setting::new(ground, "row-50")
        // As a service has it where nobody has set more.
        .all(|system| system.wrapper(["prlimit", "--nofile=256:256"]))
        .start();
    let traffic = stage.traffic();
    for _ in 0..3 {
        // Somebody opens connections and says nothing.
        let connect = |process: &Process| -> Vec<TcpStream> {
            let connect =
                |_| TcpStream::connect_timeout(&process.address, Duration::from_millis(50));
            (0..CONNECTIONS).filter_map(|n| connect(n).ok()).collect()
        };
        let strangers = [
            connect(&stage.api.process()),
            connect(&stage.worker().process()),
        ];
        // And no file can be opened any more, as if all were taken.
        let processes = [stage.api.process().pid(), stage.worker().process().pid()];
        let before = processes.map(forbid_files);
        stage.system.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        );
        let close = ["close_all_connections", "a test"];
        ground
            .rabbitmq()
            .ctl_blocking(&close)
            .expect("all connections are closed");
        until("the worker can open nothing", || {
            stage
                .worker()
                .process()
                .log()
                .contains("Too many open files")
                .then_some(())
        });
        for (pid, limit) in processes.into_iter().zip(before) {
            set_limit(pid, limit);
        }
        drop(strangers);
        until_all_is_well(&stage, &traffic);
    }
    let logs = stage.system.all_logs();
    assert!(!logs.contains("panicked"), "{logs}");
    stage.end(traffic, LIMIT);
}

/// Lets a process open no more files; the limit it had.
fn forbid_files(pid: u32) -> u64 {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).expect("a process");
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let mut words = line.expect("a limit").split_whitespace();
    let limit = words.nth(3).expect("its number").parse();
    set_limit(pid, 0);
    limit.expect("a number")
}

fn set_limit(pid: u32, limit: u64) {
    let limit = format!("--nofile={limit}:");
    let set = Command::new("prlimit")
        .args(["--pid", &pid.to_string(), &limit])
        .status();
    assert!(set.expect("prlimit").success());
}
