//! Starts the API as a process of its own and talks to it in raw bytes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use adtally_devstack::testing::{TestDatabase, TestStack};
use adtally_store::{Store, StoreConfig};

/// A running API; killed when it is dropped.
pub(crate) struct Api {
    child: Child,
    address: String,
    pub(crate) prefix: String,
    _database: Option<TestDatabase<'static>>,
}

/// One connection.
pub(crate) struct Connection(TcpStream);

/// A migrated database of the test's own.
pub(crate) fn migrated() -> TestDatabase<'static> {
    TestStack::shared().prepared_database("process", |url| {
        let store = Store::connect(StoreConfig::new(url));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(store.migrate()).unwrap();
    })
}

fn command(prefix: &str, database: &str, amqp: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_adtally-api"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("ADTALLY_")) {
        command.env_remove(name);
    }
    command
        .args([
            "--prefix",
            prefix,
            "--database-url",
            database,
            "--amqp-url",
            amqp,
        ])
        .env("RUST_LOG", "info")
        .env("ADTALLY_DRAIN", "0")
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

impl Api {
    /// Starts it beside real servers.
    pub(crate) fn start(name: &str, more: &[&str]) -> Self {
        let database = migrated();
        let amqp = TestStack::shared().amqp_url();
        let mut api = Self::start_with(name, database.url(), &amqp, more);
        api._database = Some(database);
        api
    }

    /// Starts it beside whatever the URLs lead to.
    pub(crate) fn start_with(name: &str, database: &str, amqp: &str, more: &[&str]) -> Self {
        let prefix = TestStack::shared().queue_prefix(name);
        Self::start_as(&prefix, database, amqp, more)
    }

    /// Starts it with the queues of an earlier one.
    pub(crate) fn start_as(prefix: &str, database: &str, amqp: &str, more: &[&str]) -> Self {
        let mut command = command(prefix, database, amqp);
        command
            .args(["--bind", "127.0.0.1:0", "--http-workers", "2"])
            .args(more);
        Self::spawn(command, prefix)
    }

    /// Starts it on a socket that it is handed as systemd does.
    pub(crate) fn start_on(socket: &TcpListener, prefix: &str, database: &str, amqp: &str) -> Self {
        let command = command(prefix, database, amqp);
        let mut shell = Command::new("sh");
        shell
            .args(["-c", r#"LISTEN_FDS=1 LISTEN_PID=$$ exec "$0" "$@" 3<&0"#])
            .arg(command.get_program())
            .args(command.get_args())
            .stdin(OwnedFd::from(socket.try_clone().unwrap()))
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        Self::spawn(shell, prefix)
    }

    fn spawn(mut command: Command, prefix: &str) -> Self {
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| Some(line.split_once("listening on http://")?.1.to_owned()))
            .expect("the API says where it listens");
        // What it logs further on must not fill the pipe.
        std::thread::spawn(move || {
            lines
                .map_while(Result::ok)
                .for_each(|line| eprintln!("{line}"))
        });
        Self {
            child,
            address,
            prefix: prefix.to_owned(),
            _database: None,
        }
    }

    /// Runs it until it ends by itself: its exit code and what it said.
    pub(crate) fn run_to_end(args: &[&str], database: &str, name: &str) -> (Option<i32>, String) {
        let prefix = TestStack::shared().queue_prefix(name);
        let output = command(&prefix, database, "amqp://127.0.0.1:1")
            .args(args)
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    }

    pub(crate) fn connect(&self) -> Connection {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(40)))
            .unwrap();
        stream
            .set_write_timeout(Some(Duration::from_secs(40)))
            .unwrap();
        Connection(stream)
    }

    pub(crate) fn get(&self, path: &str) -> String {
        exchange(
            self,
            &format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"),
        )
    }

    pub(crate) fn post(&self, path: &str, json: &str) -> String {
        let length = json.len();
        exchange(
            self,
            &format!(
                "POST {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\
                 content-type: application/json\r\ncontent-length: {length}\r\n\r\n{json}"
            ),
        )
    }

    pub(crate) fn until_ready(&self) {
        poll("the API is ready", || {
            self.get("/readyz").starts_with("HTTP/1.1 200")
        });
    }

    pub(crate) fn until_refused(&self) {
        poll("no connection is taken any more", || {
            TcpStream::connect(&self.address).is_err()
        });
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill")
            .args([format!("-{name}"), pid])
            .status();
        assert!(status.unwrap().success());
    }

    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        let mut code = None;
        poll("the API ends", || {
            code = self.child.try_wait().unwrap();
            code.is_some()
        });
        code.and_then(|status| status.code())
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        let _already_over = self.child.kill();
        let _status = self.child.wait();
    }
}

impl Connection {
    /// Sends what the other side takes; it may answer and close before it has taken all.
    pub(crate) fn send(&mut self, text: &str) {
        self.send_bytes(text.as_bytes());
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        let _closed_early = self.0.write_all(bytes);
    }

    pub(crate) fn close_sending(&mut self) {
        self.0.shutdown(Shutdown::Write).unwrap();
    }

    /// Everything the other side sends until it closes.
    pub(crate) fn read_to_end(&mut self) -> String {
        let mut bytes = Vec::new();
        let _reset_at_the_end = self.0.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// What the API answers to `bytes`; `None` when it takes no connection, or drops the one it took last.
pub(crate) fn try_exchange(api: &Api, bytes: &str) -> Option<String> {
    let mut connection = Connection(TcpStream::connect(&api.address).ok()?);
    connection.send(bytes);
    Some(connection.read_to_end()).filter(|answer| !answer.is_empty())
}

/// Sends `bytes` on a connection of their own and reads until the API closes it.
pub(crate) fn exchange(api: &Api, bytes: &str) -> String {
    let mut connection = api.connect();
    connection.send(bytes);
    connection.read_to_end()
}

pub(crate) fn poll(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(40);
    while !holds() {
        assert!(Instant::now() < deadline, "not within 40 s: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
