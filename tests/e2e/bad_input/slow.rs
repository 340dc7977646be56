//! Clients that take their time, or all the connections.

use std::thread;
use std::time::{Duration, Instant};

use adtally_tests::until_within;

use super::subject::Subject;
use super::wire::Wire;

/// A head may take five seconds and a body fifteen; the rest is for a busy machine.
const HEAD: Duration = Duration::from_secs(15);
const BODY: Duration = Duration::from_secs(30);

#[test]
fn a_slow_client_is_cut_off_and_holds_up_nobody() {
    let mut subject = Subject::new("slow");
    let api = subject.system.api();
    let idle: Vec<_> = (0..1_000).map(|_| Wire::connect(api)).collect();
    let head = b"POST /v1/events HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n";
    let started = Instant::now();
    let slow_head = thread::spawn(move || trickle(Wire::connect(api), head, started));
    let slow_body = thread::spawn(move || {
        let mut wire = Wire::connect(api);
        wire.say(head);
        wire.say(b"Content-Length: 1000\r\n\r\n");
        trickle(wire, &[b' '; 1_000], started)
    });
    let [silent, silent_behind] = ["", "GET /livez HTTP/1.1\r\nHost: h\r\n\r\n"].map(|before| {
        thread::spawn(move || {
            let mut wire = Wire::connect(api);
            let body_to_come = b"Content-Length: 29\r\n\r\n";
            wire.say(&[before.as_bytes(), head, body_to_come].concat());
            (wire.until_closed().statuses(), started.elapsed())
        })
    });

    let mut slowest = Duration::ZERO;
    let bodies = [
        ("a slow body", slow_body, &[408][..]),
        ("a silent body", silent, &[408]),
        (
            "a silent body behind another request",
            silent_behind,
            &[200, 408],
        ),
    ];
    while !(slow_head.is_finished() && bodies.iter().all(|(_, body, _)| body.is_finished())) {
        let asked = Instant::now();
        subject.takes("others meanwhile", br#"{"ad_id": 1, "kind": "click"}"#);
        slowest = slowest.max(asked.elapsed());
        thread::sleep(Duration::from_millis(100));
    }
    let (statuses, after) = slow_head.join().unwrap();
    let is_cut = after < HEAD && matches!(statuses[..], [] | [408]);
    subject.compare(
        &format!("a slow head: {statuses:?} after {after:?}"),
        is_cut,
        true,
    );
    for (what, client, expected) in bodies {
        let (statuses, after) = client.join().unwrap();
        let is_cut = after < BODY && statuses == expected;
        subject.compare(
            &format!("{what}: {statuses:?} after {after:?}"),
            is_cut,
            true,
        );
    }
    let is_quick = slowest < Duration::from_secs(3);
    subject.compare(&format!("others waited up to {slowest:?}"), is_quick, true);
    drop(idle);
    subject.stored_only_what_was_taken();
}

/// Says a byte of `words` every quarter of a second until the server has had enough.
fn trickle(mut wire: Wire, words: &[u8], started: Instant) -> (Vec<u16>, Duration) {
    let mut words = words.iter();
    let mut next = Instant::now();
    until_within(Duration::from_secs(60), "a slow client is cut off", || {
        if wire.is_over() {
            return Some(());
        }
        if next <= Instant::now() {
            next += Duration::from_millis(250);
            if !wire.say(&[*words.next().unwrap_or(&b'x')]) {
                return Some(());
            }
        }
        None
    });
    (wire.until_closed().statuses(), started.elapsed())
}
