//! Requests that break HTTP, or only strain it.

use super::subject::{Subject, from_now, parsed};
use super::wire::{self, Heard, Wire};

const EVENT: &str = r#"{"ad_id": 1, "kind": "click"}"#;

/// A POST of [`EVENT`] with `headers`, each ending its line, and without any other.
fn post(headers: &str) -> String {
    format!("POST /v1/events?ids=1 HTTP/1.1\r\n{headers}\r\n{EVENT}")
}

/// The headers a proper request has.
const PROPER: &str =
    "Host: h\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 29\r\n";

/// One clear refusal and a closed connection, or a closed connection only.
fn refused(subject: &mut Subject, what: &str, heard: &Heard) {
    let one_refusal = match heard.answers.as_slice() {
        [] => true,
        [answer] => (400..500).contains(&answer.status),
        _ => false,
    };
    if !one_refusal || !heard.closed {
        subject.finding(format!(
            "{what}: {:?}, closed: {}",
            heard.statuses(),
            heard.closed
        ));
    }
}

#[test]
fn a_request_that_breaks_http_is_refused_and_its_connection_closed() {
    let mut subject = Subject::new("broken-http");
    let api = subject.system.api();
    let many: String = (0..97).map(|n| format!("X-{n}: 1\r\n")).collect();
    let huge = format!("X-Huge: {}\r\n", "x".repeat(200 * 1_024));
    let long = format!(
        "GET /{} HTTP/1.1\r\nHost: h\r\n\r\n",
        "x".repeat(200 * 1_024)
    );
    let cases = [
        ("97 headers", post(&format!("{PROPER}{many}"))),
        ("a header of 200 KiB", post(&format!("{PROPER}{huge}"))),
        ("a path of 200 KiB", long),
        (
            "a folded header",
            post(&format!("{PROPER}X-Fold: a\r\n b\r\n")),
        ),
        ("NUL in a header", post(&format!("{PROPER}X-Nul: a\0b\r\n"))),
        (
            "NUL in a header's name",
            post(&format!("{PROPER}X-\0: a\r\n")),
        ),
        ("CR in a header", post(&format!("{PROPER}X-Cr: a\rb\r\n"))),
        (
            "a space before the colon",
            post(&format!("{PROPER}X-Space : a\r\n")),
        ),
        (
            "a line without a colon",
            post(&format!("{PROPER}nonsense\r\n")),
        ),
        ("an empty name", post(&format!("{PROPER}: a\r\n"))),
        ("two hosts", post(&format!("Host: other\r\n{PROPER}"))),
        ("no host", post(&PROPER.replace("Host: h\r\n", ""))),
        (
            "two lengths",
            post(&format!("{PROPER}Content-Length: 29\r\n")),
        ),
        (
            "a list of lengths",
            post(&PROPER.replace(": 29", ": 29, 29")),
        ),
        ("a negative length", post(&PROPER.replace(": 29", ": -29"))),
        (
            "a length with a plus",
            post(&PROPER.replace(": 29", ": +29")),
        ),
        (
            "a hexadecimal length",
            post(&PROPER.replace(": 29", ": 0x1d")),
        ),
        (
            "a length and chunks",
            post(&format!("{PROPER}Transfer-Encoding: chunked\r\n")),
        ),
        (
            "two encodings",
            post(&PROPER.replace("Content-Length: 29", "Transfer-Encoding: gzip, chunked")),
        ),
        (
            "an unknown encoding",
            post(&PROPER.replace("Content-Length: 29", "Transfer-Encoding: xchunked")),
        ),
        ("HTTP/0.9", "GET /livez\r\n\r\n".to_owned()),
        (
            "HTTP/2 in clear text",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        ),
        (
            "HTTP/3",
            "GET /livez HTTP/3.0\r\nHost: h\r\n\r\n".to_owned(),
        ),
        (
            "a TLS hello",
            "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{3}\u{3}\r\n\r\n".to_owned(),
        ),
        ("AMQP", "AMQP\0\0\u{9}\u{1}\r\n\r\n".to_owned()),
        (
            "a method with spaces",
            "G E T /livez HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(),
        ),
        (
            "an empty target",
            "GET  HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(),
        ),
        (
            "a target with NUL",
            "GET /liv\0ez HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(),
        ),
        (
            "a target with a space",
            "GET /liv ez HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(),
        ),
        ("no version", "GET /livez\r\nHost: h\r\n\r\n".to_owned()),
    ];
    for (what, bytes) in cases {
        let heard = wire::exchange(api, bytes.as_bytes());
        refused(&mut subject, what, &heard);
    }
    subject.stored_only_what_was_taken();
}

#[test]
fn a_body_whose_length_is_a_lie_is_no_event() {
    let mut subject = Subject::new("length-lies");
    let api = subject.system.api();
    let longer = wire::half_closed(api, post(&PROPER.replace(": 29", ": 100")).as_bytes());
    refused(&mut subject, "longer than the body", &longer);
    let keep = PROPER.replace("Connection: close\r\n", "");
    let shorter = wire::half_closed(api, post(&keep.replace(": 29", ": 12")).as_bytes());
    subject.compare("shorter than the body", shorter.statuses(), vec![400, 400]);
    let none = wire::half_closed(
        api,
        post(&keep.replace("Content-Length: 29\r\n", "")).as_bytes(),
    );
    subject.compare("no length at all", none.statuses(), vec![400, 400]);

    let chunked = PROPER.replace("Content-Length: 29", "Transfer-Encoding: chunked");
    let head = post(&chunked).replace(EVENT, "");
    for (what, chunks) in [
        (
            "a size that is no number",
            format!("xyz\r\n{EVENT}\r\n0\r\n\r\n"),
        ),
        ("a negative size", format!("-1d\r\n{EVENT}\r\n0\r\n\r\n")),
        (
            "a size of 2^64",
            format!("10000000000000000\r\n{EVENT}\r\n0\r\n\r\n"),
        ),
        (
            "a size of 2^64-1",
            format!("ffffffffffffffff\r\n{EVENT}\r\n0\r\n\r\n"),
        ),
        ("a size too small", format!("1c\r\n{EVENT}\r\n0\r\n\r\n")),
        (
            "no line break behind a chunk",
            format!("1d\r\n{EVENT}0\r\n\r\n"),
        ),
        ("no last chunk", format!("1d\r\n{EVENT}\r\n")),
        ("no chunk", EVENT.to_owned()),
        ("half a chunk", "1d\r\n{\"ad_id\": 1,".to_owned()),
    ] {
        let heard = wire::half_closed(api, format!("{head}{chunks}").as_bytes());
        refused(&mut subject, what, &heard);
    }
    // What a chunk says besides its size is nobody's business.
    let extension = format!("1d;{}\r\n{EVENT}\r\n0\r\n\r\n", "x".repeat(300_000));
    let honest = format!(
        "5;a=b\r\n{}\r\n18\r\n{}\r\n0\r\n\r\n",
        &EVENT[..5],
        &EVENT[5..]
    );
    for chunks in [extension, honest] {
        let heard = wire::exchange(api, format!("{head}{chunks}").as_bytes());
        subject.compare("honest chunks", heard.statuses(), vec![202]);
        for answer in &heard.answers {
            subject.kept(&parsed(answer));
        }
    }
    subject.stored_only_what_was_taken();
}

#[test]
fn methods_paths_and_queries_nobody_has_are_refused() {
    let mut subject = Subject::new("paths");
    let api = subject.system.api();
    let body = "Content-Type: application/json\r\nContent-Length: 29\r\n";
    for method in [
        "TRACE",
        "CONNECT",
        "PUT",
        "DELETE",
        "PATCH",
        "GET",
        "OPTIONS",
        "FROBNICATE",
        "post",
    ] {
        let request = format!(
            "{method} /v1/events HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{body}\r\n{EVENT}"
        );
        let heard = wire::exchange(api, request.as_bytes());
        let Some(answer) = heard.answers.first() else {
            subject.finding(format!("{method}: no answer"));
            continue;
        };
        subject.problem(method, answer, 405, "method_not_allowed");
        subject.compare(method, answer.header("allow"), Some("POST"));
    }
    for target in [
        "//v1/events",
        "/v1//events",
        "/v1/../v1/events",
        "/v1/%2e%2e/v1/events",
        "/v1/events/",
        "/v1/events%00",
        "/v1/events%2f",
        "/v1/%zz",
        "/V1/events",
        "/v1/events;x=1",
        "/../../etc/passwd",
        "/api-docs/../../../../etc/passwd",
        "/api-docs/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "*",
    ] {
        let request =
            format!("POST {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{body}\r\n{EVENT}");
        let heard = wire::exchange(api, request.as_bytes());
        let statuses = heard.statuses();
        let is_refused = matches!(statuses[..], [400 | 404 | 405]);
        subject.compare(
            &format!("{target} is refused, not {statuses:?}"),
            is_refused,
            true,
        );
    }
    for target in ["h:443", "http://other.example/v1/livez"] {
        let request = format!("CONNECT {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        let heard = wire::exchange(api, request.as_bytes());
        refused(&mut subject, &format!("CONNECT {target}"), &heard);
    }
    for query in ["ids=maybe", "ids=1&ids=1", "ids=%ff", "ids=%00"] {
        let response =
            subject
                .system
                .post_as(&serde_json::json!([1]), &format!("/v1/events?{query}"), &[]);
        subject.problem(query, &response, 400, "invalid_parameter");
    }
    for query in [
        "from=1&from=2",
        "limit=0",
        "limit=99999999999999999999",
        "cursor=%27%3b%20DROP%20TABLE%20events",
        "granularity=week",
        "granularity=%00",
        "from=9999-99-99",
        "to=%ff",
    ] {
        for path in ["/v1/stats", "/v1/ads/1/stats"] {
            if path != "/v1/stats" && (query.starts_with("limit") || query.starts_with("cursor")) {
                continue;
            }
            let response = subject.system.get(&format!("{path}?{query}"));
            subject.problem(
                &format!("{path}?{query}"),
                &response,
                400,
                "invalid_parameter",
            );
        }
    }
    let absolute = format!(
        "POST http://h/v1/events?ids=1 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{body}\r\n{EVENT}"
    );
    let heard = wire::exchange(api, absolute.as_bytes());
    subject.compare("a whole URL as target", heard.statuses(), vec![202]);
    for answer in &heard.answers {
        subject.kept(&parsed(answer));
    }
    subject.stored_only_what_was_taken();
}

#[test]
fn unusual_but_proper_connections_are_served() {
    let mut subject = Subject::new("connections");
    let api = subject.system.api();
    let keep = PROPER.replace("Connection: close\r\n", "");
    let mut wire = Wire::connect(api);
    let one = post(&keep);
    wire.say(one.repeat(200).as_bytes());
    let heard = wire.until_answered(200);
    subject.compare("pipelined events", heard.statuses(), vec![202; 200]);
    for answer in &heard.answers {
        subject.kept(&parsed(answer));
    }
    let mut wire = Wire::connect(api);
    wire.say(
        "GET /livez HTTP/1.1\r\nHost: h\r\n\r\n"
            .repeat(1_000)
            .as_bytes(),
    );
    let heard = wire.until_answered(1_000);
    subject.compare("pipelined checks", heard.statuses(), vec![200; 1_000]);

    let heard = wire::half_closed(api, post(PROPER).as_bytes());
    subject.compare("a client that only listens on", heard.statuses(), vec![202]);
    for answer in &heard.answers {
        subject.kept(&parsed(answer));
    }
    let old =
        post("Content-Type: application/json\r\nContent-Length: 29\r\n").replace("/1.1", "/1.0");
    let heard = wire::exchange(api, old.as_bytes());
    subject.compare("HTTP/1.0 without a host", heard.statuses(), vec![202]);
    for answer in &heard.answers {
        subject.kept(&parsed(answer));
    }
    let expecting = post(&format!("{PROPER}Expect: 100-continue\r\n"));
    let heard = wire::exchange(api, expecting.as_bytes());
    let last = heard.answers.last().map(|answer| answer.status);
    subject.compare("a client that asks first", last, Some(202));
    for answer in &heard.answers {
        subject.kept(&parsed(answer));
    }
    subject.stored_only_what_was_taken();
}

#[test]
fn a_client_that_resets_before_its_answer_harms_nobody() {
    let mut subject = Subject::new("resets");
    let api = subject.system.api();
    let at = from_now(-60);
    for n in 0..50 {
        let id = format!("reset-{n}");
        let event =
            serde_json::json!({"ad_id": 9, "kind": "click", "event_id": id, "occurred_at": at});
        let event = event.to_string();
        let ad = adtally_domain::AdId::new(9).unwrap();
        let time = chrono::DateTime::parse_from_rfc3339(&at).unwrap().to_utc();
        let time = adtally_domain::Timestamp::try_from(time).unwrap();
        let kind = adtally_domain::EventKind::Click;
        subject.may_be_stored(adtally_domain::EventId::derive(kind, ad, time, &id).to_string());
        let mut wire = Wire::connect(api);
        wire.say(b"GET /livez HTTP/1.1\r\nHost: h\r\n\r\n");
        let head = PROPER.replace(": 29", &format!(": {}", event.len()));
        let request = post(&head).replace(EVENT, &event);
        let sent = if n % 2 == 0 {
            request.len()
        } else {
            request.len() - 10
        };
        wire.say(&request.as_bytes()[..sent]);
        wire.reset();
    }
    subject.stored_only_what_was_taken();
}

#[test]
fn a_port_for_health_checks_takes_no_events_and_no_nonsense() {
    let mut subject = Subject::new("health-port");
    let worker = subject.worker.address;
    for target in [
        "/v1/events",
        "/livez",
        "/readyz",
        "/metrics",
        "/",
        "/../etc/passwd",
    ] {
        let request = post(PROPER).replace("/v1/events?ids=1", target);
        let heard = wire::exchange(worker, request.as_bytes());
        refused(&mut subject, target, &heard);
    }
    for nonsense in [
        "\0\0\0\0\r\n\r\n",
        "GET /livez\r\n\r\n",
        "AMQP\0\0\u{9}\u{1}\r\n\r\n",
    ] {
        let heard = wire::exchange(worker, nonsense.as_bytes());
        refused(&mut subject, nonsense, &heard);
    }
    subject.stored_only_what_was_taken();
}
