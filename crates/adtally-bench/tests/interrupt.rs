//! The program as somebody meets it who presses Ctrl-C.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Also where the servers are still to be installed.
const DEADLINE: Duration = Duration::from_secs(300);

/// The port of the PostgreSQL whose data is below `dir`: the fourth line of its `postmaster.pid`.
fn port(dir: &Path) -> Option<u16> {
    let runs = fs::read_dir(dir).unwrap().map(|run| run.unwrap().path());
    let mut files = runs.map(|run| run.join("postgres/data/postmaster.pid"));
    let text = files.find_map(|file| fs::read_to_string(file).ok())?;
    text.lines().nth(3)?.parse().ok()
}

fn listens(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[test]
fn who_interrupts_it_finds_no_server_and_no_file_left() {
    let data = tempfile::tempdir().unwrap();
    let bench = Command::new(env!("CARGO_BIN_EXE_adtally-bench"))
        .args(["accept", "--data-dir"])
        .arg(data.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + DEADLINE;
    let port = loop {
        if let Some(port) = port(data.path()).filter(|port| listens(*port)) {
            break port;
        }
        assert!(Instant::now() < deadline, "no PostgreSQL in time");
        std::thread::sleep(Duration::from_millis(10));
    };

    kill_process(Pid::from_child(&bench), Signal::INT).unwrap();
    let ended = bench.wait_with_output().unwrap();

    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("stopped before the last bar"), "{said}");
    assert!(!listens(port), "{said}");
    assert_eq!(fs::read_dir(data.path()).unwrap().count(), 0);
}
