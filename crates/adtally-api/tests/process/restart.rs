//! How the API stops, and starts again.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use adtally_devstack::testing::TestStack;

use super::support::{Api, migrated, poll, try_exchange};

const EVENT: &str = r#"{"ad_id":1,"kind":"click"}"#;

#[test]
fn who_stops_is_not_ready_first_and_serves_on_for_the_drain() {
    let mut api = Api::start("drain", &["--drain", "3s"]);
    api.until_ready();
    api.signal("TERM");
    let asked = Instant::now();
    let (mut served, mut balancers_know) = (0, false);
    loop {
        let ready = try_exchange(&api, "GET /readyz HTTP/1.0\r\n\r\n");
        let answer = try_exchange(&api, &request("keep-alive"));
        let (Some(ready), Some(answer)) = (ready, answer) else {
            break;
        };
        balancers_know |= ready.contains(" 503 ") && ready.contains("\"stopping\":true");
        assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
        // Who keeps connections is told to leave this one.
        assert!(
            !balancers_know || answer.contains("connection: close"),
            "{answer}"
        );
        served += 1;
        thread::sleep(Duration::from_millis(50));
    }
    assert!(balancers_know && served > 1, "{served} were served");
    assert!(
        asked.elapsed() >= Duration::from_secs(3),
        "{:?}",
        asked.elapsed()
    );
    assert_eq!(api.exit_code(), Some(0));
}

#[test]
fn a_restart_behind_an_inherited_socket_refuses_nobody() {
    let (database, amqp) = (migrated(), TestStack::shared().amqp_url());
    let prefix = TestStack::shared().queue_prefix("inherited");
    // As systemd does, this test keeps the socket while processes come and go.
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let start = || Api::start_on(&socket, &prefix, database.url(), &amqp);
    let mut api = start();
    api.until_ready();

    let (is_over, answered) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (is_over, answered) = (is_over.clone(), answered.clone());
            thread::spawn(move || {
                let mut failures = Vec::new();
                while !is_over.load(Ordering::Relaxed) {
                    match event(address) {
                        Ok(answer) if answer.starts_with("HTTP/1.1 202") => {
                            answered.fetch_add(1, Ordering::Relaxed);
                        }
                        other => failures.push(format!("{other:?}")),
                    }
                }
                failures
            })
        })
        .collect();
    for _ in 0..3 {
        let before = answered.load(Ordering::Relaxed);
        poll("clients are served", || {
            answered.load(Ordering::Relaxed) > before + 20
        });
        api.signal("TERM");
        assert_eq!(api.exit_code(), Some(0));
        api = start();
    }
    api.until_ready();
    is_over.store(true, Ordering::Relaxed);
    let failures: Vec<_> = clients
        .into_iter()
        .flat_map(|client| client.join().unwrap())
        .collect();
    assert!(
        failures.is_empty(),
        "{} failed: {failures:#?}",
        failures.len()
    );
}

/// Sends an event over a connection of its own.
fn event(address: std::net::SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(40)))?;
    stream.write_all(request("close").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// A request that sends [`EVENT`]. The server closes behind its answer, or after a while.
fn request(connection: &str) -> String {
    let length = EVENT.len();
    format!(
        "POST /v1/events HTTP/1.1\r\nhost: a\r\nconnection: {connection}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{EVENT}"
    )
}
