//! What signals do, seen from outside: a test starts this test program again and signals it.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};

use adtally_service::{Failure, Shutdown, report, run_main};

struct Victim {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Victim {
    fn start(name: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--ignored", "--nocapture"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut victim = Self { child, lines };
        victim.wait_for("ready");
        victim
    }

    /// Waits until the victim has printed `line`; the test fails when it ends first.
    fn wait_for(&mut self, line: &str) {
        let found = self
            .lines
            .find(|found| found.as_ref().is_ok_and(|found| found.ends_with(line)));
        assert!(found.is_some(), "it ended without saying {line:?}");
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[ignore = "a victim of the other tests"]
fn victim() {
    let code = run_main(async {
        let shutdown = Shutdown::on_signals()?;
        println!("ready");
        shutdown.requested().await;
        println!("asked");
        std::future::pending().await
    });
    assert_eq!(code, ExitCode::SUCCESS);
}

#[test]
fn sigterm_and_the_first_sigint_ask_and_the_second_sigint_ends() {
    for first in ["-TERM", "-INT"] {
        let mut victim = Victim::start("victim");
        victim.signal(first);
        victim.wait_for("asked");
        victim.signal("-INT");
        assert_eq!(victim.child.wait().unwrap().code(), Some(130), "{first}");
    }
}

#[test]
fn a_second_sigterm_changes_nothing() {
    let mut victim = Victim::start("victim");
    victim.signal("-TERM");
    victim.wait_for("asked");
    victim.signal("-TERM");
    assert!(victim.child.try_wait().unwrap().is_none());
    victim.signal("-INT");
    assert_eq!(victim.child.wait().unwrap().code(), Some(130));
}

#[test]
#[ignore = "a victim of another test"]
fn victim_with_a_failure() {
    let failure = Failure::unavailable("postgres://u:hunter2@h/d does not answer\nat all");
    println!("ready");
    let code = report(Err(anyhow::Error::from(failure).context("starting")));
    assert_eq!(code, ExitCode::from(69));
    println!("reported");
}

#[test]
fn a_failure_is_one_line_without_secrets() {
    let mut victim = Victim::start("victim_with_a_failure");
    victim.wait_for("reported");
    let stderr = BufReader::new(victim.child.stderr.take().unwrap());
    let lines: Vec<String> = stderr.lines().map(Result::unwrap).collect();
    assert_eq!(
        lines,
        ["error: starting: postgres://u:***@h/d does not answer at all"]
    );
}
