//! Writing packs, piece by piece into one buffer.

use std::net::IpAddr;

use adtally_domain::{Event, Timestamp};
use serde_json::Value;
use uuid::Uuid;

use super::wire::{self, are_plain};

/// What every pack of this build begins with.
pub(crate) const HEAD: &str = r#"{"v":1,"events":["#;
/// What every pack of this build ends with.
pub(super) const TAIL: &str = "]}";

/// The pack of `events`, in their order.
#[must_use]
pub fn encode(events: &[Event]) -> Vec<u8> {
    let mut body = Vec::with_capacity(HEAD.len() + TAIL.len() + events.len() * 256);
    let mut times = ReceivedAt::default();
    for event in events {
        append(&mut body, event, &mut times);
    }
    finish(&mut body);
    body
}

/// The pack of one entry that is JSON already, whatever it holds.
#[must_use]
pub fn of_entry(entry: &[u8]) -> Vec<u8> {
    [HEAD.as_bytes(), entry, TAIL.as_bytes()].concat()
}

/// Adds one event to a pack that is not finished; an empty buffer becomes one.
pub(crate) fn append(body: &mut Vec<u8>, event: &Event, times: &mut ReceivedAt) {
    if body.is_empty() {
        body.extend_from_slice(HEAD.as_bytes());
    } else {
        body.push(b',');
    }
    uuid(body, wire::EVENT_ID, event.id.as_uuid());
    plain(body, wire::KIND, event.kind.as_str());
    number(body, wire::AD_ID, event.ad_id.get());
    plain(body, wire::RECEIVED_AT, times.text(event.received_at));
    if let Some(id) = event.impression_id {
        uuid(body, wire::IMPRESSION_ID, id);
    }
    if let Some(visitor) = &event.visitor_id {
        text(body, wire::VISITOR_ID, visitor);
    }
    if let Some(ip) = event.ip {
        address(body, wire::IP, ip);
    }
    let last = [
        (wire::USER_AGENT, &event.user_agent),
        (wire::REFERER, &event.referer),
        (wire::PLACEMENT, &event.placement),
        (wire::SOURCE, &event.source),
    ];
    for (key, value) in last {
        if let Some(value) = value {
            text(body, key, value);
        }
    }
    body.extend_from_slice(wire::END.as_bytes());
}

/// Ends a pack. An empty buffer becomes a pack without events.
pub(crate) fn finish(body: &mut Vec<u8>) {
    if body.is_empty() {
        body.extend_from_slice(HEAD.as_bytes());
    }
    body.extend_from_slice(TAIL.as_bytes());
}

/// The last time written, as text: events of one request share it.
#[derive(Default)]
pub(crate) struct ReceivedAt {
    last: Option<(Timestamp, String)>,
}

impl ReceivedAt {
    fn text(&mut self, time: Timestamp) -> &str {
        if self.last.as_ref().is_none_or(|(last, _)| *last != time) {
            self.last = None;
        }
        let (_, text) = self.last.get_or_insert_with(|| (time, time.to_string()));
        text
    }
}

fn text(body: &mut Vec<u8>, key: &str, value: &str) {
    if are_plain(value.as_bytes()) {
        plain(body, key, value);
    } else {
        body.extend_from_slice(key.as_bytes());
        body.extend_from_slice(Value::from(value).to_string().as_bytes());
    }
}

fn uuid(body: &mut Vec<u8>, key: &str, value: Uuid) {
    let mut buffer = Uuid::encode_buffer();
    let value = value.as_hyphenated().encode_lower(&mut buffer);
    plain(body, key, value);
}

fn number(body: &mut Vec<u8>, key: &str, value: impl itoa::Integer) {
    body.extend_from_slice(key.as_bytes());
    body.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn address(body: &mut Vec<u8>, key: &str, value: IpAddr) {
    let IpAddr::V4(ip) = value else {
        return plain(body, key, &value.to_string());
    };
    let mut before = "\"";
    body.extend_from_slice(key.as_bytes());
    for octet in ip.octets() {
        number(body, before, octet);
        before = ".";
    }
    body.push(b'"');
}

/// A text in which nothing is escaped.
fn plain(body: &mut Vec<u8>, key: &str, value: &str) {
    body.extend_from_slice(key.as_bytes());
    body.push(b'"');
    body.extend_from_slice(value.as_bytes());
    body.push(b'"');
}
