//! Nothing outlives the process that started it, however that one ends.
//!
//! A test starts this very test program again as a *victim*, which starts servers and writes
//! down what it has started; the test then kills it.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests fail by panicking"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use adtally_devstack::testing::programs;
use adtally_devstack::{
    LogTarget, ManagedProcess, PostgresOptions, PostgresServer, ProcessOptions, RabbitmqOptions,
    RabbitmqServer, Stage, Storage,
};

const ROLE: &str = "ADTALLY_TEST_VICTIM_DIRECTORY";
const DEADLINE: Duration = Duration::from_secs(90);

/// A directory of one test, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(test: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("adtally-{test}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Starts one of the victims below, and waits until it has written its notes.
fn start_victim(name: &str, dir: &Path) -> (Child, Vec<String>) {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--ignored", "--nocapture"])
        .env(ROLE, dir)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let notes = dir.join("notes");
    until("the victim is ready", || notes.exists());
    let notes = fs::read_to_string(notes).unwrap();
    (child, notes.lines().map(str::to_owned).collect())
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// In a victim: writes the notes in one step, then waits to be killed.
fn write_notes_and_wait(notes: &[String]) -> ! {
    let dir = victim_dir();
    fs::write(dir.join("notes.new"), notes.join("\n")).unwrap();
    fs::rename(dir.join("notes.new"), dir.join("notes")).unwrap();
    loop {
        std::thread::sleep(DEADLINE);
    }
}

fn victim_dir() -> PathBuf {
    std::env::var_os(ROLE)
        .expect("only started by another test")
        .into()
}

/// A process that nobody has reaped yet has ended all the same.
fn runs(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

/// Ids of all processes that work in a directory.
fn working_in(dir: &Path) -> Vec<String> {
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter(|entry| {
            fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(dir))
        })
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

/// The reaper's shell among the children of a process.
fn reaper_of(parent: u32) -> String {
    find_reaper(parent).expect("a reaper")
}

fn find_reaper(parent: u32) -> Option<String> {
    let is_reaper = |pid: &str| {
        let read = |name: &str| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let words = String::from_utf8_lossy(&read("cmdline")).into_owned();
        let stat = String::from_utf8_lossy(&read("stat")).into_owned();
        let ours = stat
            .rsplit_once(") ")
            .and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok());
        ours == Some(parent) && words.trim_end_matches('\0').ends_with("adtally-reaper")
    };
    let pids = fs::read_dir("/proc").unwrap().flatten();
    let mut pids = pids.map(|entry| entry.file_name().to_string_lossy().into_owned());
    pids.find(|pid| is_reaper(pid))
}

fn kill(pid: &str, signal: &str) {
    let status = Command::new("kill").args([signal, pid]).status().unwrap();
    assert!(status.success());
}

#[test]
#[ignore = "a victim of another test"]
fn victim_with_servers() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let servers = runtime.block_on(async {
        let programs = programs().await.unwrap();
        let kept = |name: &str| Storage::Kept(victim_dir().join(name));
        let postgres = PostgresOptions::new(&programs);
        let rabbitmq = RabbitmqOptions::new(&programs);
        tokio::try_join!(
            PostgresServer::start(postgres.clone().storage(kept("postgres"))),
            PostgresServer::start(postgres),
            RabbitmqServer::start(rabbitmq.clone().storage(kept("rabbitmq"))),
            RabbitmqServer::start(rabbitmq),
        )
        .unwrap()
    });
    let (kept_postgres, postgres, kept_rabbitmq, rabbitmq) = &servers;
    let dir_of = |file: PathBuf| file.parent().unwrap().display().to_string();
    write_notes_and_wait(&[
        dir_of(kept_postgres.log_file()),
        dir_of(kept_rabbitmq.log_file()),
        dir_of(postgres.log_file()),
        dir_of(rabbitmq.log_file()),
    ]);
}

#[test]
fn servers_end_with_a_killed_parent_and_a_new_one_takes_over_at_once() {
    let scratch = Scratch::new("killed-parent");
    let (mut victim, dirs) = start_victim("victim_with_servers", &scratch.0);
    for dir in &dirs {
        assert!(
            !working_in(Path::new(dir)).is_empty(),
            "nothing works in {dir}"
        );
    }
    victim.kill().unwrap();
    victim.wait().unwrap();

    // At once: the old servers are still being ended.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let programs = programs().await.unwrap();
        let storage = Storage::Kept(dirs[0].clone().into());
        let server = PostgresServer::start(PostgresOptions::new(&programs).storage(storage));
        assert_eq!(server.await.unwrap().psql("SELECT 1").await.unwrap(), "1");
    });
    for dir in &dirs {
        until("no server is left", || {
            working_in(Path::new(dir)).is_empty()
        });
    }
    until("temporary directories are removed", || {
        dirs[2..].iter().all(|d| !Path::new(d).exists())
    });
    assert!(
        dirs[..2].iter().all(|dir| Path::new(dir).exists()),
        "kept ones stay"
    );
}

#[test]
#[ignore = "a victim of another test"]
fn victim_with_processes() {
    let (order, listening_file) = (victim_dir().join("order"), victim_dir().join("listening"));
    let listening = listening_file.display();
    let spawn = |name: &str, stage: Stage| {
        let script = format!(
            "trap 'sleep 0.3; echo {name} >>{}; exit' TERM; echo {name} >>{listening}; \
             while :; do sleep 0.05; done",
            order.display()
        );
        let options = ProcessOptions::new(name, "/bin/sh").args(["-c", &script]);
        ManagedProcess::spawn(options.stage(stage).log(LogTarget::Discard)).unwrap()
    };
    // Forgotten: it has ended, its number is not ours any more.
    let ended = spawn("ended", Stage::Services);
    ended.kill();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(ended.exited());
    let processes = [
        spawn("support", Stage::Support),
        spawn("server", Stage::Servers),
        spawn("service", Stage::Services),
        spawn("service", Stage::Services),
    ];
    let deaf = ProcessOptions::new("deaf", "/bin/sh");
    let script =
        format!("trap '' TERM INT; echo deaf >>{listening}; sleep 1000 & wait; sleep 1000");
    let deaf = ManagedProcess::spawn(deaf.args(["-c", &script]).stage(Stage::Support)).unwrap();
    // A shell that has not got round to its trap yet would end without a word.
    until("all listen to signals", || {
        let names = fs::read_to_string(&listening_file).unwrap_or_default();
        names.lines().filter(|name| *name != "ended").count() == 5
    });
    let mut notes: Vec<String> = processes.iter().map(|it| it.pid().to_string()).collect();
    notes.push(deaf.pid().to_string());
    write_notes_and_wait(&notes);
}

#[test]
fn a_killed_parents_processes_end_stage_by_stage_even_deaf_ones() {
    let scratch = Scratch::new("stages");
    let (mut victim, pids) = start_victim("victim_with_processes", &scratch.0);
    assert!(pids.iter().all(|pid| runs(pid)), "{pids:?}");
    victim.kill().unwrap();
    victim.wait().unwrap();
    until("all have ended", || !pids.iter().any(|pid| runs(pid)));
    let order = fs::read_to_string(scratch.0.join("order")).unwrap();
    assert_eq!(
        order.lines().collect::<Vec<_>>(),
        ["service", "service", "server", "support"]
    );
}

#[test]
#[ignore = "a victim of another test"]
fn victim_whose_reaper_is_killed() {
    let spawn = || {
        let options = ProcessOptions::new("sleep", "/bin/sleep").arg("1000");
        ManagedProcess::spawn(options).unwrap()
    };
    let first = spawn();
    let reaper = reaper_of(std::process::id());
    kill(&reaper, "-9");
    let second = spawn();
    until("another reaper has its place", || {
        find_reaper(std::process::id()).is_some_and(|other| other != reaper)
    });
    write_notes_and_wait(&[first.pid().to_string(), second.pid().to_string()]);
}

#[test]
fn a_killed_reaper_is_replaced_by_one_that_knows_everything() {
    let scratch = Scratch::new("reaper");
    let (mut victim, pids) = start_victim("victim_whose_reaper_is_killed", &scratch.0);
    assert!(pids.iter().all(|pid| runs(pid)), "{pids:?}");
    victim.kill().unwrap();
    victim.wait().unwrap();
    until("all have ended", || !pids.iter().any(|pid| runs(pid)));
}
