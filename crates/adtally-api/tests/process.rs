//! The API as a process: start, raw bytes on its socket, stop.

#![cfg(test)]

#[path = "process/restart.rs"]
mod restart;
#[path = "process/spool.rs"]
mod spool;
mod support;

use std::time::{Duration, Instant};

use adtally_devstack::testing::TestStack;
use support::{Api, exchange, migrated};

#[test]
fn events_are_on_their_queues_once_they_are_answered() {
    let api = Api::start("answered", &[]);
    api.until_ready();
    let body = r#"[{"ad_id":1,"kind":"impression"},{"ad_id":2,"kind":"click"},{"ad_id":3}]"#;
    let answer = api.post("/v1/events", body);
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    assert!(answer.contains(r#""accepted":2"#), "{answer}");
    assert!(api.get("/v1/pixel.gif?ad_id=9").contains("GIF89a"));
    let stack = TestStack::shared();
    // How many packs that made is the publisher's business; both queues have some.
    let queues = ["impressions", "clicks"].map(|queue| format!("{}.{queue}", api.prefix));
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let listed = stack
            .rabbitmq()
            .ctl_blocking(&["list_queues", "name", "messages"])
            .unwrap();
        let has_some = |queue: &String| {
            listed.lines().any(|line| {
                let mut words = line.split_whitespace();
                words.next() == Some(queue) && words.next().is_some_and(|count| count != "0")
            })
        };
        if queues.iter().all(has_some) {
            break;
        }
        assert!(Instant::now() < deadline, "{listed}");
        std::thread::sleep(Duration::from_millis(100));
    }
    let metrics = api.get("/metrics");
    assert!(
        metrics.contains("adtally_events_accepted_total{kind=\"impression\"} 2"),
        "{metrics}"
    );
    assert!(
        metrics.contains("adtally_events_rejected_total{code=\"invalid_kind\"} 1"),
        "{metrics}"
    );
}

#[test]
fn a_request_in_progress_is_answered_after_sigterm_and_the_exit_is_clean() {
    let mut api = Api::start("sigterm", &[]);
    api.until_ready();
    let body = r#"{"ad_id":1,"kind":"click"}"#;
    let mut slow = api.connect();
    slow.send(&format!(
        "POST /v1/events HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{{",
        body.len()
    ));
    // A keep-alive connection without a request must not hold up the end.
    let idle = api.connect();
    std::thread::sleep(Duration::from_millis(200));
    api.signal("TERM");
    api.until_refused();
    slow.send(&body[1..]);
    let answer = slow.read_to_end();
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    let started = Instant::now();
    assert_eq!(api.exit_code(), Some(0));
    assert!(
        started.elapsed() < Duration::from_secs(8),
        "{:?}",
        started.elapsed()
    );
    drop(idle);
}

#[test]
fn a_taken_address_ends_the_process_with_one_line() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, errors) =
        Api::run_to_end(&["--bind", &address], "postgres://127.0.0.1:1/x", "taken");
    assert_eq!(code, Some(69), "{errors}");
    let line = errors.lines().last().unwrap();
    assert!(
        line.starts_with(&format!("error: cannot listen on {address}")),
        "{errors}"
    );
}

#[test]
fn another_zone_than_the_stored_one_ends_the_process() {
    let database = migrated();
    database
        .psql("INSERT INTO settings (key, value) VALUES ('timezone', 'Asia/Tehran')")
        .unwrap();
    let bind = ["--bind", "127.0.0.1:0", "--timezone", "Europe/Berlin"];
    let (code, errors) = Api::run_to_end(&bind, database.url(), "zone");
    assert_eq!(code, Some(78), "{errors}");
    assert!(
        errors.contains("Asia/Tehran") && errors.contains("Europe/Berlin"),
        "{errors}"
    );
    let (code, errors) = Api::run_to_end(&["--timezone", "Mars/Olympus"], database.url(), "zone");
    assert_eq!(code, Some(78), "{errors}");
}

#[test]
fn without_servers_it_stays_alive_answers_and_says_it_is_not_ready() {
    let mut api = Api::start_with(
        "alone",
        "postgres://127.0.0.1:1/x",
        "amqp://127.0.0.1:1",
        &[],
    );
    assert!(api.get("/livez").starts_with("HTTP/1.1 200"));
    let ready = api.get("/readyz");
    assert!(
        ready.starts_with("HTTP/1.1 503") && ready.contains("\"broker\""),
        "{ready}"
    );
    let started = Instant::now();
    assert!(api.get("/v1/pixel.gif?ad_id=1").contains("GIF89a"));
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
    assert!(api.get("/v1/click/1").starts_with("HTTP/1.1 503"));
    let answer = api.post("/v1/events", r#"{"ad_id":1,"kind":"click"}"#);
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(
        answer.contains("retry-after: ") && answer.contains("not_kept"),
        "{answer}"
    );
    api.signal("INT");
    assert_eq!(api.exit_code(), Some(0));
}

#[test]
fn raw_bytes_nobody_should_send() {
    let api = Api::start_with("raw", "postgres://127.0.0.1:1/x", "amqp://127.0.0.1:1", &[]);
    let headers = |n: usize| (0..n).map(|n| format!("x-{n}: 1\r\n")).collect::<String>();
    let many = format!("GET /livez HTTP/1.1\r\nhost: a\r\n{}\r\n", headers(97));
    let huge = format!(
        "GET /livez HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n",
        "x".repeat(200 * 1024)
    );
    let path = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "x".repeat(66_000));
    for bytes in [
        "POST /v1/events HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}",
        "POST /v1/events HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        "POST /v1/events HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}",
        "POST /v1/events HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n{}",
        "G E T /livez HTTP/1.1\r\n\r\n",
        "GET /livez\u{0} HTTP/1.1\r\n\r\n",
        "GET /livez HTTP/1.1\r\nhost: a\r\nbad header\r\n\r\n",
        "GET /livez HTTP/1.1\r\nhost: a\r\nx: a\u{0}b\r\n\r\n",
        "\u{1}\u{2}\u{3}\r\n\r\n",
        many.as_str(),
        huge.as_str(),
        path.as_str(),
    ] {
        let answer = exchange(&api, bytes);
        let shown: String = bytes.chars().take(80).collect();
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{shown:?}: {answer}"
        );
    }
    assert!(api.get("/livez").starts_with("HTTP/1.1 200"), "still alive");
}

#[test]
fn a_pixel_is_a_picture_whatever_bytes_its_query_holds() {
    let api = Api::start_with(
        "pixel",
        "postgres://127.0.0.1:1/x",
        "amqp://127.0.0.1:1",
        &[],
    );
    let latin_1 = b"GET /v1/pixel.gif?ad_id=1&placement=caf\xE9 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let mut connection = api.connect();
    connection.send_bytes(latin_1);
    let answer = connection.read_to_end();
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("GIF89a"),
        "{answer}"
    );
    // Nor is it UTF-8, as an event's text must be.
    let metrics = api.get("/metrics");
    let refused = "adtally_events_rejected_total{code=\"invalid_event\"} 1";
    assert!(metrics.contains(refused), "{metrics}");
    let unseen = api.get("/v1/pixel.gif?ad_id=1&placement=a b");
    assert!(unseen.starts_with("HTTP/1.1 400"), "{unseen}");
    support::poll("it is counted", || {
        let metrics = api.get("/metrics");
        metrics.contains("adtally_http_refused_total{reason=\"version\"} 1")
    });
}

#[test]
fn odd_but_legal_requests_are_answered() {
    let api = Api::start_with("odd", "postgres://127.0.0.1:1/x", "amqp://127.0.0.1:1", &[]);
    assert!(exchange(&api, "GET /livez HTTP/1.0\r\n\r\n").starts_with("HTTP/1.0 200"));
    let absolute = "GET http://elsewhere/livez HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    assert!(exchange(&api, absolute).starts_with("HTTP/1.1 200"));
    let pipelined = "GET /livez HTTP/1.1\r\nhost: a\r\n\r\n".repeat(999)
        + "GET /livez HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    assert_eq!(
        exchange(&api, &pipelined).matches("HTTP/1.1 200").count(),
        1_000
    );
    let mut half_closed = api.connect();
    half_closed.send("GET /livez HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    half_closed.close_sending();
    assert!(half_closed.read_to_end().starts_with("HTTP/1.1 200"));
    for _ in 0..50 {
        let mut reset = api.connect();
        reset.send("POST /v1/events HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n{");
        drop(reset);
    }
    assert!(api.get("/livez").starts_with("HTTP/1.1 200"), "still alive");
}

#[test]
fn a_body_that_is_too_large_gets_its_answer_although_it_is_not_read() {
    let api = Api::start_with(
        "large",
        "postgres://127.0.0.1:1/x",
        "amqp://127.0.0.1:1",
        &[],
    );
    let size = 5 * 1024 * 1024;
    let announced = format!(
        "POST /v1/events HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {size}\r\n\r\n{}",
        " ".repeat(size)
    );
    let answer = exchange(&api, &announced);
    assert!(
        answer.starts_with("HTTP/1.1 413") && answer.contains("body_too_large"),
        "{answer}"
    );
    let chunk = format!("{:x}\r\n{}\r\n", 65_536, " ".repeat(65_536));
    let chunked = "POST /v1/events HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n".to_owned()
        + &chunk.repeat(80);
    let started = Instant::now();
    let answer = exchange(&api, &chunked);
    assert!(
        answer.starts_with("HTTP/1.1 413") && answer.contains("body_too_large"),
        "{answer}"
    );
    // The rest of the body, which never comes, is not waited for.
    assert!(
        started.elapsed() < Duration::from_secs(12),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn a_chunked_body_that_was_read_leaves_its_connection_open() {
    let api = Api::start("chunked", &[]);
    api.until_ready();
    let event = r#"{"ad_id":1,"kind":"click"}"#;
    let (first, second) = event.split_at(9);
    let chunked = format!(
        "POST /v1/events HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
         transfer-encoding: chunked\r\n\r\n{:x}\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n",
        first.len(),
        second.len()
    );
    let last = "GET /livez HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let answers = exchange(&api, &[&chunked, &chunked, last].concat());
    assert_eq!(answers.matches("HTTP/1.1 202").count(), 2, "{answers}");
    assert!(answers.contains("HTTP/1.1 200"), "{answers}");
}

#[test]
fn slow_clients_are_told_to_hurry() {
    let api = Api::start_with(
        "slow",
        "postgres://127.0.0.1:1/x",
        "amqp://127.0.0.1:1",
        &[],
    );
    let (mut head, mut body) = (api.connect(), api.connect());
    head.send("GET /livez HTTP/1.1\r\nhost:");
    body.send("POST /v1/events HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 20\r\n\r\n{\"ad");
    let answer = head.read_to_end();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    let answer = body.read_to_end();
    assert!(
        answer.starts_with("HTTP/1.1 408") && answer.contains("body_timeout"),
        "{answer}"
    );
}
