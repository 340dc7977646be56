//! Reading packs. Nothing a message holds can fail more than itself.

use std::borrow::Cow;

use adtally_domain::{Event, EventId};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::wire::{Clock, Read};
use super::{BadEvent, PackError, VERSION, usual};

/// What stands in for bytes that are not UTF-8.
const REPLACEMENT: char = '\u{fffd}';

/// The events of a pack, in order, each judged alone.
///
/// # Errors
/// [`PackError::NewerVersion`] for a pack that a newer build wrote, whatever else it holds, and
/// [`PackError::NotAPack`] for anything else that is not a pack.
pub fn decode(body: &[u8]) -> Result<Vec<Result<Event, BadEvent>>, PackError> {
    let mut events = Vec::new();
    read(body, |event| events.push(event.map(Event::into_owned)))?;
    Ok(events)
}

/// Like [`decode`], but hands each event to `take` as soon as it is read and as it stands in the pack,
/// without a copy of its texts.
///
/// # Errors
/// As [`decode`]. What was handed out before is no event then, and to be taken back.
pub fn read(
    body: &[u8],
    mut take: impl FnMut(Result<Event<Cow<'_, str>>, BadEvent>),
) -> Result<(), PackError> {
    let mut handed_out = 0;
    // Checked once, and not again for each text in it.
    let is_all = std::str::from_utf8(body).is_ok_and(|text| {
        let events = usual::events(text, |event| {
            handed_out += 1;
            take(Ok(event));
        });
        events.is_some()
    });
    if is_all {
        Ok(())
    } else {
        read_rest(body, handed_out, take)
    }
}

/// A pack whose entries are not looked into yet.
#[derive(Deserialize)]
struct Outline<'a> {
    #[serde(borrow)]
    v: &'a RawValue,
    #[serde(borrow)]
    events: Option<&'a RawValue>,
}

/// Reads JSON of any form, and hands out what comes after the first `handed_out` entries.
pub(super) fn read_rest(
    body: &[u8],
    handed_out: usize,
    mut take: impl FnMut(Result<Event<Cow<'_, str>>, BadEvent>),
) -> Result<(), PackError> {
    let text = String::from_utf8_lossy(body);
    let repaired = matches!(text, Cow::Owned(_));
    let outline: Outline<'_> = serde_json::from_str(&text).map_err(|error| not_a_pack(&error))?;
    let version: u64 = serde_json::from_str(outline.v.get())
        .map_err(|_| PackError::NotAPack("its version is not a whole number".to_owned()))?;
    if version > VERSION {
        return Err(PackError::NewerVersion(version));
    }
    if version < VERSION {
        return Err(PackError::NotAPack(format!(
            "there is no version {version}"
        )));
    }
    let events = outline.events.map_or("null", RawValue::get);
    let events: Vec<&RawValue> =
        serde_json::from_str(events).map_err(|error| not_a_pack(&error))?;
    let mut clock = Clock::default();
    for (index, entry) in events.into_iter().enumerate().skip(handed_out) {
        let judged = judge(entry.get(), repaired, &mut clock);
        take(judged.map_err(|reason| bad_event(index, entry, reason)));
    }
    Ok(())
}

fn judge<'a>(
    entry: &'a str,
    repaired: bool,
    clock: &mut Clock,
) -> Result<Event<Cow<'a, str>>, String> {
    if repaired && entry.contains(REPLACEMENT) {
        return Err("it holds bytes that are not UTF-8".to_owned());
    }
    let entry: Read<'_> = serde_json::from_str(entry).map_err(|error| error.to_string())?;
    entry.into_event(clock)
}

fn bad_event(index: usize, entry: &RawValue, reason: String) -> BadEvent {
    let fields: Value = serde_json::from_str(entry.get()).unwrap_or_default();
    let event_id = fields.get("event_id").and_then(Value::as_str);
    let event_id = event_id.and_then(|text| Uuid::parse_str(text).ok());
    let says_time = event_id.filter(|id| matches!(id.get_version_num(), 7 | 8));
    BadEvent {
        index,
        body: entry.get().to_owned(),
        reason,
        event_id,
        ad_id: fields.get("ad_id").and_then(Value::as_i64),
        occurred_at: says_time.and_then(EventId::from_uuid).map(EventId::time),
    }
}

fn not_a_pack(error: &serde_json::Error) -> PackError {
    PackError::NotAPack(error.to_string())
}
