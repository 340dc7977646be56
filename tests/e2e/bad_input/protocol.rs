//! Requests that break HTTP.

use super::subject::Subject;
use super::wire::{self, Heard};

pub(super) const EVENT: &str = r#"{"ad_id": 1, "kind": "click"}"#;

/// A POST of [`EVENT`] with `headers`, each ending its line, and without any other.
pub(super) fn post(headers: &str) -> String {
    format!("POST /v1/events?ids=1 HTTP/1.1\r\n{headers}\r\n{EVENT}")
}

/// The headers a proper request has.
pub(super) const PROPER: &str =
    "Host: h\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 29\r\n";

/// One clear refusal and a closed connection, or a closed connection only.
pub(super) fn refused(subject: &mut Subject, what: &str, heard: &Heard) {
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

/// Requests whose headers nobody may send.
fn broken_headers() -> Vec<(&'static str, String)> {
    let many: String = (0..97).map(|n| format!("X-{n}: 1\r\n")).collect();
    let huge = format!("X-Huge: {}\r\n", "x".repeat(200 * 1_024));
    let long = format!(
        "GET /{} HTTP/1.1\r\nHost: h\r\n\r\n",
        "x".repeat(200 * 1_024)
    );
    vec![
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
    ]
}

/// Requests that leave it open where they end.
fn broken_lengths() -> Vec<(&'static str, String)> {
    let length = |length| post(&PROPER.replace(": 29", &format!(": {length}")));
    let encoded = |encoding| {
        let header = format!("Transfer-Encoding: {encoding}");
        post(&PROPER.replace("Content-Length: 29", &header))
    };
    vec![
        (
            "two lengths",
            post(&format!("{PROPER}Content-Length: 29\r\n")),
        ),
        ("a list of lengths", length("29, 29")),
        ("a negative length", length("-29")),
        ("a length with a plus", length("+29")),
        ("a hexadecimal length", length("0x1d")),
        (
            "a length and chunks",
            post(&format!("{PROPER}Transfer-Encoding: chunked\r\n")),
        ),
        ("two encodings", encoded("gzip, chunked")),
        ("an unknown encoding", encoded("xchunked")),
    ]
}

/// Bytes that are no request at all.
fn broken_requests() -> Vec<(&'static str, String)> {
    vec![
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
    ]
}

#[test]
fn a_request_that_breaks_http_is_refused_and_its_connection_closed() {
    let mut subject = Subject::new("broken-http");
    let api = subject.system.api();
    let cases = [broken_headers(), broken_lengths(), broken_requests()];
    for (what, bytes) in cases.into_iter().flatten() {
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
        subject.kept_of(&heard);
    }
    subject.stored_only_what_was_taken();
}
