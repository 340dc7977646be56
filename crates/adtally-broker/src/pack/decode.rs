//! Reading packs. Nothing a message holds can fail more than itself.

use std::borrow::Cow;

use adtally_domain::{Event, EventId};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::wire::{Clock, Read};
use super::{BadEvent, PackError, VERSION};

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

/// Like [`decode`], but hands each event to `take` as it stands in the pack, without a copy of its
/// texts. Nothing is handed out of a pack that cannot be read.
///
/// # Errors
/// As [`decode`].
pub fn read(
    body: &[u8],
    mut take: impl FnMut(Result<Event<Cow<'_, str>>, BadEvent>),
) -> Result<(), PackError> {
    match read_sound(body) {
        Some(events) => {
            events.into_iter().for_each(|event| take(Ok(event)));
            Ok(())
        }
        None => read_piecewise(body, take),
    }
}

/// A pack in which every entry is an event: the common case, read in one pass.
#[derive(Deserialize)]
struct Sound<'a> {
    v: u64,
    #[serde(borrow)]
    events: Vec<Read<'a>>,
}

fn read_sound(body: &[u8]) -> Option<Vec<Event<Cow<'_, str>>>> {
    // Checked once, and not again for each text in it.
    let text = std::str::from_utf8(body).ok()?;
    let pack: Sound<'_> = serde_json::from_str(text).ok()?;
    let mut clock = Clock::default();
    let events = pack.events.into_iter();
    let events = events.map(|entry| entry.into_event(&mut clock).ok());
    events.collect::<Option<_>>().filter(|_| pack.v == VERSION)
}

/// A pack whose entries are not looked into yet.
#[derive(Deserialize)]
struct Outline<'a> {
    #[serde(borrow)]
    v: &'a RawValue,
    #[serde(borrow)]
    events: Option<&'a RawValue>,
}

fn read_piecewise(
    body: &[u8],
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
    for (index, entry) in events.into_iter().enumerate() {
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
