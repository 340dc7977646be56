//! `adtally dev` as a test runs it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use adtally_devstack::{LogTarget, ManagedProcess, ProcessOptions, Signal};
use adtally_tests::{http, programs, until, until_within};
use serde_json::{Value, json};

use super::processes::{self, Running};

/// How long servers may take to start or to stop on a busy machine.
pub(super) const SERVERS: Duration = Duration::from_secs(120);

/// A running `adtally dev`.
pub(super) struct Dev {
    process: ManagedProcess,
    dir: PathBuf,
    out: PathBuf,
}

/// The arguments of every `adtally dev` here.
fn arguments<'a>(dir: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let dir = dir.to_str().unwrap();
    let mut all = vec!["dev", "--data-dir", dir, "--no-install"];
    if !more.contains(&"--api-bind") {
        all.extend(["--api-bind", "127.0.0.1:0"]);
    }
    all.extend(more);
    all
}

/// Runs an `adtally dev` that cannot start; its exit code and the one line it says.
pub(super) fn refused(dir: &Path, more: &[&str]) -> (i32, String) {
    let mut command = Command::new(programs::path("adtally"));
    command.args(arguments(dir, more)).stdout(Stdio::null());
    let output = command.output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(err.lines().count(), 1, "{err}");
    (output.status.code().unwrap(), err)
}

impl Dev {
    /// Starts it in `dir` and waits until it has written its environment file.
    pub(super) fn start(dir: &Path, more: &[&str]) -> Self {
        let old = std::fs::read(dir.join("env")).ok();
        let dev = Self::begin(dir, more);
        until_within(SERVERS, "dev has started", || {
            assert!(dev.runs(), "{}", dev.output());
            let new = std::fs::read(dev.env_file()).ok();
            (new.is_some() && new != old).then_some(())
        });
        dev
    }

    /// Starts it in `dir` and does not wait.
    pub(super) fn begin(dir: &Path, more: &[&str]) -> Self {
        let out = dir.with_extension("out");
        let mut options = ProcessOptions::new("dev", programs::path("adtally"));
        if !more.contains(&"--database-url") {
            // They are about other servers than its own.
            for (name, value) in [
                ("PGSSLMODE", "require"),
                ("PGSERVICE", "nosuch"),
                ("PGOPTIONS", "-c search_path=nowhere"),
            ] {
                options = options.env(name, value);
            }
        }
        let options = options
            .args(arguments(dir, more))
            .log(LogTarget::File(out.clone()));
        let process = ManagedProcess::spawn(options).unwrap();
        Self {
            process,
            dir: dir.to_owned(),
            out,
        }
    }

    /// Whether it has not ended.
    pub(super) fn runs(&self) -> bool {
        self.process.exit_status().is_none()
    }

    /// Where it writes its variables.
    pub(super) fn env_file(&self) -> PathBuf {
        self.dir.join("env")
    }

    /// What it printed.
    pub(super) fn output(&self) -> String {
        std::fs::read_to_string(&self.out).unwrap_or_default()
    }

    /// The variables of its environment file, as a shell takes them in.
    pub(super) fn env(&self) -> BTreeMap<String, String> {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", r#". "$0" && env"#]).arg(self.env_file());
        let output = shell.env_clear().output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines()
            .filter_map(|line| line.split_once('='))
            .filter(|(name, _)| name.starts_with("ADTALLY_"))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    /// One of its variables.
    pub(super) fn variable(&self, name: &str) -> String {
        let env = self.env();
        env.get(name)
            .unwrap_or_else(|| panic!("no {name} in {env:?}"))
            .clone()
    }

    /// The process whose id is in the variable `name`.
    pub(super) fn pid(&self, name: &str) -> u32 {
        self.variable(name).parse().unwrap()
    }

    fn api(&self) -> SocketAddr {
        address(&self.variable("ADTALLY_API_URL"))
    }

    /// Whether the process whose URL is in the variable `name` can do its work.
    pub(super) fn is_ready(&self, name: &str) -> bool {
        let ready = http::request(address(&self.variable(name)), "GET", "/readyz", &[], b"");
        ready.is_ok_and(|response| response.status == 200)
    }

    /// Posts one impression of `ad` until it is accepted.
    pub(super) fn accept(&self, ad: u32) {
        let id = uuid::Uuid::now_v7();
        let body = json!({"ad_id": ad, "kind": "impression", "event_id": id}).to_string();
        until("an event is accepted", || {
            let headers = [("Content-Type", "application/json")];
            let sent = http::request(self.api(), "POST", "/v1/events", &headers, body.as_bytes());
            sent.is_ok_and(|response| response.status == 202)
                .then_some(())
        });
    }

    /// The impressions of `ad` today and yesterday; `None` when they cannot be asked for.
    pub(super) fn impressions(&self, ad: u32) -> Option<u64> {
        let target = format!("/v1/ads/{ad}/stats?granularity=day");
        let stats = http::request(self.api(), "GET", &target, &[], b"").ok()?;
        let data: Value = serde_json::from_slice(&stats.body).ok()?;
        let days = data["data"].as_array()?;
        days.iter().map(|day| day["impressions"].as_u64()).sum()
    }

    /// Everything it has started.
    pub(super) fn family(&self) -> BTreeSet<Running> {
        processes::family(self.process.pid())
    }

    /// Ends it as a crash would, and waits until all that it started is gone.
    pub(super) fn kill(self) {
        let family = self.family();
        // Itself only: its children must be ended without it.
        self.process.signal(Signal::KILL);
        until("a killed dev ends", || self.process.exit_status());
        processes::until_gone(&family, &self.dir);
    }

    /// Sends `signal` and waits until it and all that it started are gone.
    pub(super) fn stop(self, signal: Signal) -> ExitStatus {
        let family = self.family();
        self.process.signal(signal);
        let status = until_within(SERVERS, "dev stops", || self.process.exit_status());
        processes::until_gone(&family, &self.dir);
        assert!(!self.env_file().exists());
        status
    }
}

fn address(url: &str) -> SocketAddr {
    url.strip_prefix("http://").unwrap().parse().unwrap()
}
