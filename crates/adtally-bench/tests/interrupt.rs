//! The program as somebody meets it who presses Ctrl-C.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Also where the servers are still to be installed.
const DEADLINE: Duration = Duration::from_secs(300);

/// The process id of the PostgreSQL whose data is below `dir`, as soon as there is one.
fn postmaster(dir: &Path) -> u32 {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let runs = fs::read_dir(dir).unwrap().map(|run| run.unwrap().path());
        let mut files = runs.map(|run| run.join("postgres/data/postmaster.pid"));
        let first_line = files.find_map(|file| {
            let text = fs::read_to_string(file).ok()?;
            text.lines().next()?.parse().ok()
        });
        if let Some(pid) = first_line {
            return pid;
        }
        assert!(Instant::now() < deadline, "no PostgreSQL in time");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A process that nobody has reaped yet has ended all the same.
fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
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
    let postmaster = postmaster(data.path());
    assert!(runs(postmaster));

    kill_process(Pid::from_child(&bench), Signal::INT).unwrap();
    let ended = bench.wait_with_output().unwrap();

    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("stopped before the last bar"), "{said}");
    assert!(!runs(postmaster));
    assert_eq!(fs::read_dir(data.path()).unwrap().count(), 0);
}
