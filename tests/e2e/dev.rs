//! `adtally dev`: everything with one command, kept running, and nothing left behind.

mod demo;
mod processes;
mod running;

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

use adtally_devstack::Signal;
use adtally_devstack::testing::{TestDatabase, TestStack};
use adtally_tests::{programs, until, until_within};
use running::{Dev, SERVERS, refused};

/// A directory for the data of one environment.
fn data_dir() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().canonicalize().unwrap().join("data");
    (dir, data)
}

/// The servers all tests share, for an environment that needs none of its own.
struct Named {
    database: TestDatabase<'static>,
    amqp_url: String,
    prefix: String,
}

impl Named {
    fn new(name: &str) -> Self {
        let stack = TestStack::shared();
        Self {
            database: stack.database(name),
            amqp_url: stack.amqp_url(),
            prefix: stack.queue_prefix(name),
        }
    }

    fn arguments<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let mut all = vec!["--database-url", self.database.url()];
        all.extend(["--amqp-url", &self.amqp_url, "--prefix", &self.prefix]);
        all.extend(more);
        all
    }
}

/// Sends SIGKILL to the process of the variable `name`.
fn kill(dev: &Dev, name: &str) -> u32 {
    let pid = dev.pid(name);
    let killed = Command::new("kill").args(["-9", &pid.to_string()]).status();
    assert!(killed.unwrap().success());
    pid
}

const SERVERS_OF_ITS_OWN: [&str; 6] = [
    "ADTALLY_AMQP_URL",
    "ADTALLY_DATABASE_URL",
    "ADTALLY_POSTGRES_PID",
    "ADTALLY_PREFIX",
    "ADTALLY_RABBITMQ_PID",
    "ADTALLY_TIMEZONE",
];

fn names(dev: &Dev) -> Vec<String> {
    dev.env().into_keys().collect()
}

#[test]
fn whatever_dies_is_started_again_and_what_is_posted_afterwards_is_stored() {
    let (_temp, dir) = data_dir();
    let dev = Dev::start(&dir, &[]);
    let processes = ["API", "BEAT_1", "WORKER_1", "WORKER_2"];
    let of_processes = processes
        .iter()
        .flat_map(|name| ["PID", "URL"].map(|what| format!("ADTALLY_{name}_{what}")));
    let mut expected: Vec<_> = of_processes.collect();
    expected.extend(SERVERS_OF_ITS_OWN.map(str::to_owned));
    expected.sort();
    assert_eq!(names(&dev), expected);
    assert_eq!(dev.variable("ADTALLY_TIMEZONE"), "UTC");
    for name in processes {
        assert!(dev.is_ready(&format!("ADTALLY_{name}_URL")), "{name}");
    }

    let (code, line) = refused(&dir, &[]);
    assert_eq!(code, 1);
    assert!(line.contains(dir.to_str().unwrap()), "{line}");

    dev.accept(1);
    let victims = ["API", "WORKER_1", "BEAT_1", "POSTGRES", "RABBITMQ"];
    for (ad, name) in (2..).zip(victims) {
        let pid_key = format!("ADTALLY_{name}_PID");
        let killed = kill(&dev, &pid_key);
        until_within(SERVERS, "env names another process", || {
            (dev.pid(&pid_key) != killed).then_some(())
        });
        dev.accept(ad);
    }
    for ad in 1..=6 {
        until_within(SERVERS, "the event is stored", || {
            (dev.impressions(ad) == Some(1)).then_some(())
        });
    }
    for name in processes {
        until("all are ready again", || {
            dev.is_ready(&format!("ADTALLY_{name}_URL")).then_some(())
        });
    }
    let said = dev.output();
    for name in ["api", "worker-1", "beat-1", "PostgreSQL", "RabbitMQ"] {
        let line = format!("{name} was ended by signal 9, starting it again");
        assert_eq!(said.matches(&line).count(), 1, "{name}: {said}");
    }
    assert_eq!(dev.stop(Signal::TERM).code(), Some(0));
}

#[test]
fn servers_alone_keep_their_data_and_their_zone() {
    let (_temp, dir) = data_dir();
    let tehran = ["--services-only", "--timezone", "Asia/Tehran"];
    let dev = Dev::start(&dir, &tehran);
    assert_eq!(names(&dev), SERVERS_OF_ITS_OWN);
    assert_eq!(dev.variable("ADTALLY_TIMEZONE"), "Asia/Tehran");
    let mut joined = Command::new("/bin/sh");
    joined.args(["-c", r#". "$0" && exec "$1" audit"#]);
    joined.arg(dir.join("env")).arg(programs::path("adtally"));
    let audit = joined.env_clear().output().unwrap();
    assert!(audit.status.success(), "{audit:?}");
    assert!(
        String::from_utf8(audit.stdout)
            .unwrap()
            .contains("Asia/Tehran")
    );
    assert_eq!(dev.stop(Signal::INT).code(), Some(0));

    let (code, line) = refused(&dir, &["--services-only", "--timezone", "Europe/Berlin"]);
    assert_eq!(code, 78);
    assert!(
        line.contains("Asia/Tehran") && line.contains("Europe/Berlin"),
        "{line}"
    );
    processes::until_gone(&Default::default(), &dir);
}

#[test]
fn without_workers_events_wait_in_the_queues_of_named_servers() {
    let (_temp, dir) = data_dir();
    let named = Named::new("dev-idle");
    let dev = Dev::start(&dir, &named.arguments(&["--workers", "0"]));
    let expected = [
        "ADTALLY_AMQP_URL",
        "ADTALLY_API_PID",
        "ADTALLY_API_URL",
        "ADTALLY_BEAT_1_PID",
        "ADTALLY_BEAT_1_URL",
        "ADTALLY_DATABASE_URL",
        "ADTALLY_PREFIX",
        "ADTALLY_TIMEZONE",
    ];
    assert_eq!(names(&dev), expected);
    assert_eq!(dev.variable("ADTALLY_PREFIX"), named.prefix);
    assert_eq!(dev.variable("ADTALLY_DATABASE_URL"), named.database.url());
    dev.accept(1);
    assert_eq!(dev.impressions(1), Some(0));
    assert_eq!(dev.stop(Signal::INT).code(), Some(0));

    let dev = Dev::start(&dir, &named.arguments(&["--workers", "1", "--beats", "0"]));
    until("the event is stored by a later worker", || {
        (dev.impressions(1) == Some(1)).then_some(())
    });
    assert_eq!(dev.stop(Signal::TERM).code(), Some(0));
}

#[test]
fn an_address_that_is_taken_is_named_and_everything_stops() {
    let (_temp, dir) = data_dir();
    let named = Named::new("dev-taken");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, line) = refused(&dir, &named.arguments(&["--api-bind", &address]));
    assert_eq!(code, 69);
    assert!(
        line.contains(&address) && line.contains("--api-bind"),
        "{line}"
    );
    assert!(!dir.join("env").exists());
    processes::until_gone(&Default::default(), &dir);
}

#[test]
fn a_killed_dev_leaves_nothing_running_and_its_directory_usable() {
    let (_temp, dir) = data_dir();
    let named = Named::new("dev-killed");
    let few = named.arguments(&["--workers", "1"]);
    Dev::start(&dir, &few).kill();
    let dev = Dev::start(&dir, &few);
    dev.accept(1);
    assert_eq!(dev.stop(Signal::TERM).code(), Some(0));
}

#[test]
fn the_environment_file_of_a_killed_run_is_gone_before_anything_starts() {
    let (_temp, dir) = data_dir();
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("env"), "export ADTALLY_PREFIX='old'\n").unwrap();
    // A database that takes connections and never says a word keeps dev from starting.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let database = format!("postgres://nobody@{}/x", silent.local_addr().unwrap());
    let amqp_url = TestStack::shared().amqp_url();
    let dev = Dev::begin(
        &dir,
        &["--database-url", &database, "--amqp-url", &amqp_url],
    );
    until("the old file is gone", || {
        assert!(dev.runs(), "{}", dev.output());
        (!dev.env_file().exists()).then_some(())
    });
    assert_eq!(dev.stop(Signal::TERM).code(), Some(0));
}

#[test]
fn a_dev_that_is_stopped_while_its_servers_start_leaves_nothing_running() {
    let (_temp, dir) = data_dir();
    let dev = Dev::begin(&dir, &[]);
    // Itself, the one that cleans up after it, and what starts the servers.
    until("the servers are starting", || {
        assert!(dev.runs(), "{}", dev.output());
        (dir.join("rabbitmq").exists() && dev.family().len() > 3).then_some(())
    });
    assert_eq!(dev.stop(Signal::INT).code(), Some(0));
}
