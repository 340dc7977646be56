//! The log: nobody waits for its reader, and what is in it can be found.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use adtally_devstack::free_port;
use adtally_devstack::testing::TestStack;
use adtally_tests::proxy::{Fault, Proxy};
use adtally_tests::{System, http, programs, until};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use serde_json::Value;

use super::gate::host_of;
use super::ran::{NOBODY, run};

/// A daemon whose standard error is a pipe.
struct Daemon {
    name: &'static str,
    child: Child,
    address: SocketAddr,
    log: PipeReader,
    /// The other end, to fill it.
    pipe: PipeWriter,
}

impl Daemon {
    fn start(system: &System, name: &'static str, bind: &str) -> Self {
        let (log, pipe) = io::pipe().expect("a pipe");
        let address = SocketAddr::from(([127, 0, 0, 1], free_port().expect("a free port")));
        let mut command = Command::new(programs::path(name));
        command.envs(system.environment());
        command.env(bind, address.to_string());
        command.stderr(pipe.try_clone().expect("its other end"));
        let child = command.stdout(Stdio::null()).spawn().expect("it starts");
        Self {
            name,
            child,
            address,
            log,
            pipe,
        }
    }

    /// Fills the pipe, so that whoever writes to it waits for ever.
    fn fill(&mut self) {
        let flags = fcntl_getfl(&self.pipe).expect("flags");
        fcntl_setfl(&self.pipe, flags | OFlags::NONBLOCK).expect("no waiting");
        // The last bytes one at a time: a pipe may have room for few.
        for chunk in [&[b'\n'; 4096][..], b"\n"] {
            while self.pipe.write(chunk).is_ok() {}
        }
        fcntl_setfl(&self.pipe, flags).expect("waiting again");
    }

    fn get(&self, path: &str) -> io::Result<u16> {
        let answer = http::request(self.address, "GET", path, &[], b"")?;
        Ok(answer.status)
    }

    fn until(&self, path: &str, status: u16) {
        until(&format!("{} says {status} to {path}", self.name), || {
            (self.get(path).ok() == Some(status)).then_some(())
        });
    }

    /// Asks it to stop, with nobody reading its log.
    fn stop(&mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(sent.expect("kill").success());
        until(&format!("{} stops", self.name), || {
            self.child.try_wait().expect("its end")
        })
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_log_that_nobody_reads_holds_up_neither_events_nor_health_nor_the_end() {
    let real = TestStack::shared().amqp_url();
    let server: SocketAddr = host_of(&real).parse().expect("an address");
    let proxy = Proxy::before(server);
    let system = System::builder("stuck-log")
        .variable("ADTALLY_AMQP_URL", proxy.url(&real, server))
        .variable("ADTALLY_HTTP_WORKERS", "1")
        .without_api();
    let mut daemons = [
        Daemon::start(&system, "adtally-api", "ADTALLY_BIND"),
        Daemon::start(&system, "adtally-worker", "ADTALLY_HEALTH_BIND"),
        Daemon::start(&system, "adtally-beat", "ADTALLY_HEALTH_BIND"),
    ];
    for daemon in &mut daemons {
        daemon.until("/readyz", 200);
        daemon.fill();
    }
    // Each of them logs that it lost its broker, and that it found it again.
    proxy.set(Fault::Refuse);
    for daemon in &daemons {
        daemon.until("/readyz", 503);
        assert_eq!(daemon.get("/livez").expect("it answers"), 200);
    }
    proxy.set(Fault::Pass);
    for daemon in &daemons {
        daemon.until("/readyz", 200);
    }
    let body = br#"{"ad_id": 7, "kind": "click"}"#;
    let json = [("Content-Type", "application/json")];
    let api = daemons[0].address;
    let answer = http::request(api, "POST", "/v1/events", &json, body).expect("an answer");
    assert_eq!(answer.status, 202);
    until("the event is stored", || {
        (system.event_ids().len() == 1).then_some(())
    });
    for daemon in &mut daemons {
        let began = Instant::now();
        let status = daemon.stop();
        assert!(status.success(), "{}: {status}", daemon.name);
        let took = began.elapsed();
        assert!(took < Duration::from_secs(30), "{}: {took:?}", daemon.name);
    }
}

#[test]
fn what_waited_for_its_reader_is_in_the_log_with_the_last_words() {
    let system = System::builder("late-reader").without_api();
    let mut beat = Daemon::start(&system, "adtally-beat", "ADTALLY_HEALTH_BIND");
    beat.until("/readyz", 200);
    beat.fill();
    let pid = beat.child.id().to_string();
    let sent = Command::new("kill").args(["-TERM", &pid]).status();
    assert!(sent.expect("kill").success());
    until("nobody listens any more", || {
        TcpStream::connect(beat.address).is_err().then_some(())
    });
    let (closed, _) = io::pipe().expect("a pipe");
    let mut reader = std::mem::replace(&mut beat.log, closed);
    let (_, other) = io::pipe().expect("a pipe");
    beat.pipe = other;
    let mut log = String::new();
    reader.read_to_string(&mut log).expect("the log");
    assert!(log.contains("beat has stopped"), "{log}");
}

/// The lines of a log in JSON.
fn lines(log: &str) -> Vec<Value> {
    let parsed = log.lines().map(serde_json::from_str);
    parsed
        .map(|line| line.unwrap_or_else(|error| panic!("{error}: {log}")))
        .collect()
}

#[test]
fn a_log_in_json_is_one_object_a_line_and_names_the_request() {
    let system = System::builder("json-log").without_api();
    let more = [
        ("ADTALLY_LOG_FORMAT", "json"),
        ("RUST_LOG", "adtally=debug"),
        // Asking it for totals fails, which is told.
        ("ADTALLY_DATABASE_URL", "postgres://u:hunter2@127.0.0.1:1/d"),
    ];
    let api = system.start_with("adtally-api", "ADTALLY_BIND", &more);
    let api = api.ready();
    let named = [("X-Request-Id", "night-shift-7")];
    let target = "/v1/ads/1/stats";
    let answer = http::request(api.address, "GET", target, &named, b"").expect("an answer");
    assert_eq!(answer.status, 503);
    let found = until("the request is in the log", || {
        let lines = lines(api.log().rsplit_once('\n')?.0);
        let of_request = |line: &Value| line["request_id"] == "night-shift-7";
        lines.into_iter().find(of_request)
    });
    for field in ["time", "level", "target", "message"] {
        assert!(found[field].is_string(), "{found}");
    }
    let all = lines(&api.log());
    assert!(all.iter().any(|line| line["request_id"].is_null()));
    assert!(!api.log().contains("hunter2"), "{}", api.log());
}

#[test]
fn last_words_keep_the_form_of_the_log() {
    for (program, command) in [
        ("adtally-api", &[][..]),
        ("adtally-worker", &[]),
        ("adtally-beat", &[]),
        ("adtally", &["migrate"]),
    ] {
        let url = format!("mysql://{NOBODY}/d");
        let flags = [command, &["--log-format", "json", "--database-url", &url]].concat();
        let ran = run(program, &flags, &[]);
        assert_eq!(ran.code, Some(78), "{ran:#?}");
        let last = lines(&ran.err).pop().expect("last words");
        assert_eq!(last["level"], "error", "{ran:#?}");
        assert!(last["message"].as_str().unwrap().contains("--database-url"));
        // Compose files set variables to nothing.
        let ran = run(program, command, &[("ADTALLY_LOG_FORMAT", "")]);
        assert!(!ran.err.contains("ADTALLY_LOG_FORMAT"), "{ran:#?}");
        let ran = run(program, &[command, &["--log-format", "xml"]].concat(), &[]);
        ran.made_no_sense(&["--log-format"]);
    }
}
