//! Connections used in every way but the usual one.

use std::time::Duration;

use adtally_tests::until_within;

use super::protocol::{EVENT, PROPER, post, refused};
use super::subject::{Subject, from_now};
use super::wire::{self, Wire};

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
    subject.kept_of(&heard);
    let mut wire = Wire::connect(api);
    let two = one.repeat(2);
    // Head and body apart, once alone and once behind another request.
    let (first, rest) = two.split_at(one.len() - EVENT.len());
    let (second, third) = rest.split_at(one.len());
    wire.say(first.as_bytes());
    assert!(!wire.is_over(), "answered without a body");
    wire.say(second.as_bytes());
    let patience = Duration::from_secs(30);
    until_within(patience, "the first is answered", || {
        wire.is_over().then_some(())
    });
    wire.say(third.as_bytes());
    let heard = wire.until_answered(2);
    subject.compare("bodies that come late", heard.statuses(), vec![202; 2]);
    subject.kept_of(&heard);
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
    subject.kept_of(&heard);
    let old =
        post("Content-Type: application/json\r\nContent-Length: 29\r\n").replace("/1.1", "/1.0");
    let heard = wire::exchange(api, old.as_bytes());
    subject.compare("HTTP/1.0 without a host", heard.statuses(), vec![202]);
    subject.kept_of(&heard);
    let expecting = post(&format!("{PROPER}Expect: 100-continue\r\n"));
    let heard = wire::exchange(api, expecting.as_bytes());
    let last = heard.answers.last().map(|answer| answer.status);
    subject.compare("a client that asks first", last, Some(202));
    subject.kept_of(&heard);
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
