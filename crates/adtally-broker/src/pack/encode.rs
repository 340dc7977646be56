//! Writing packs, piece by piece into one buffer.

use adtally_domain::{Event, Timestamp};

use super::wire::Written;

/// What every pack begins with.
pub(crate) const HEAD: &[u8] = br#"{"v":1,"events":["#;
/// What every pack ends with.
pub(crate) const TAIL: &[u8] = b"]}";

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
    [HEAD, entry, TAIL].concat()
}

/// Adds one event to a pack that is not finished; an empty buffer becomes one.
pub(crate) fn append(body: &mut Vec<u8>, event: &Event, times: &mut ReceivedAt) {
    if body.is_empty() {
        body.extend_from_slice(HEAD);
    } else {
        body.push(b',');
    }
    let written = Written::new(event, times.text(event.received_at));
    if let Err(error) = serde_json::to_writer(&mut *body, &written) {
        // Plain fields into memory can't fail. Should it ever be otherwise, `null` keeps the
        // pack readable and shows up as a bad event instead of vanishing.
        log::error!("an event could not be written as JSON: {error}");
        body.extend_from_slice(b"null");
    }
}

/// Ends a pack. An empty buffer becomes a pack without events.
pub(crate) fn finish(body: &mut Vec<u8>) {
    if body.is_empty() {
        body.extend_from_slice(HEAD);
    }
    body.extend_from_slice(TAIL);
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
