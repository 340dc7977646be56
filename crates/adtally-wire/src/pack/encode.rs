//! Writing packs, piece by piece into one buffer.

use std::net::IpAddr;

use adtally_domain::{Event, EventKind};
use serde_json::Value;
use uuid::Uuid;

use super::format::{SUFFIX, prefix};

/// The pack of those of `events` that are of `kind`, in their order.
#[must_use]
pub fn encode(kind: EventKind, events: &[Event]) -> Vec<u8> {
    let mut body = start(kind);
    for event in events.iter().filter(|event| event.kind == kind) {
        append(&mut body, event);
    }
    finish(&mut body);
    body
}

/// The pack of one entry that is a JSON object already, whatever it holds.
#[must_use]
pub fn of_entry(entry: &[u8]) -> Vec<u8> {
    [br#"{"v":1,"events":["#, entry, SUFFIX.as_bytes()].concat()
}

/// A pack without events that is not finished.
#[must_use]
pub fn start(kind: EventKind) -> Vec<u8> {
    let mut body = Vec::with_capacity(512);
    body.extend_from_slice(prefix(kind).as_bytes());
    body
}

/// Adds one event, which is of the pack's kind, to a pack that is not finished.
pub fn append(body: &mut Vec<u8>, event: &Event) {
    separate(body);
    body.push(b'[');
    uuid(body, event.id.as_uuid());
    body.push(b',');
    number(body, event.ad_id.get());
    body.push(b',');
    number(body, event.received_at.as_millis());
    let mut entry = Entry { body, nulls: 0 };
    entry.add(event.ip, address);
    entry.add(event.user_agent.as_deref(), text);
    entry.add(event.source.as_deref(), text);
    entry.add(event.referer.as_deref(), text);
    entry.add(event.placement.as_deref(), text);
    entry.add(event.visitor_id.as_deref(), text);
    entry.add(event.impression_id, uuid);
    body.push(b']');
}

/// Adds the events of `other`, a pack of the same kind that is not finished either.
pub fn join(body: &mut Vec<u8>, kind: EventKind, other: &[u8]) {
    separate(body);
    // Both began with `start`, so the prefix is there.
    body.extend_from_slice(other.get(prefix(kind).len()..).unwrap_or_default());
}

/// Bytes of the events in a pack that is not finished.
#[must_use]
pub fn bytes_of_events(body: &[u8], kind: EventKind) -> usize {
    body.len().saturating_sub(prefix(kind).len())
}

/// What the events of so many pieces, `bytes` in all, add to a pack with its end.
#[must_use]
pub const fn bytes_of_all(bytes: usize, pieces: usize) -> usize {
    bytes + pieces + SUFFIX.len()
}

/// Ends a pack.
pub fn finish(body: &mut Vec<u8>) {
    body.extend_from_slice(SUFFIX.as_bytes());
}

/// A comma behind the last event. Behind the prefix, which ends with a list that begins, there is none.
fn separate(body: &mut Vec<u8>) {
    if body.last() == Some(&b']') {
        body.push(b',');
    }
}

/// The values of an entry that may be missing.
struct Entry<'a> {
    body: &'a mut Vec<u8>,
    /// Missing values that are not written: at the end they need not be.
    nulls: usize,
}

impl Entry<'_> {
    #[inline]
    fn add<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Vec<u8>, T)) {
        let Some(value) = value else {
            self.nulls += 1;
            return;
        };
        for _ in 0..std::mem::take(&mut self.nulls) {
            self.body.extend_from_slice(b",null");
        }
        self.body.push(b',');
        write(self.body, value);
    }
}

fn text(body: &mut Vec<u8>, value: &str) {
    if are_plain(value.as_bytes()) {
        plain(body, value);
    } else {
        body.extend_from_slice(Value::from(value).to_string().as_bytes());
    }
}

fn uuid(body: &mut Vec<u8>, value: Uuid) {
    let mut buffer = Uuid::encode_buffer();
    plain(body, value.as_hyphenated().encode_lower(&mut buffer));
}

fn number(body: &mut Vec<u8>, value: impl itoa::Integer) {
    body.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn address(body: &mut Vec<u8>, value: IpAddr) {
    let IpAddr::V4(ip) = value else {
        return plain(body, &value.to_string());
    };
    let mut before = b'"';
    for octet in ip.octets() {
        body.push(before);
        number(body, octet);
        before = b'.';
    }
    body.push(b'"');
}

/// A text in which nothing is escaped.
fn plain(body: &mut Vec<u8>, value: &str) {
    body.push(b'"');
    body.extend_from_slice(value.as_bytes());
    body.push(b'"');
}

/// Whether all bytes of a text stand for themselves in JSON (RFC 8259, section 7). Looks at each of them,
/// which the processor does many at a time.
fn are_plain(bytes: &[u8]) -> bool {
    let is_plain = |byte| byte >= 0x20 && byte != b'"' && byte != b'\\';
    bytes
        .iter()
        .fold(true, |plain, byte| plain & is_plain(*byte))
}
