//! Reading packs. Nothing a message holds can fail more than itself.

use std::borrow::Cow;
use std::collections::BTreeMap;

use adtally_domain::{Event, EventId};
use serde::Deserialize;
use serde::de::value::MapDeserializer;
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::columns::Columns;
use super::format::Read;
use super::{BadEvent, PackError, VERSION, fast};

/// What stands in for bytes that are not UTF-8.
const REPLACEMENT: char = '\u{fffd}';

/// The events of a pack, in order, each validated alone.
///
/// # Errors
/// [`PackError::NewerVersion`] for a pack that a newer build wrote, whatever else it holds, and
/// [`PackError::NotAPack`] for anything else that is not a pack.
pub fn decode(body: &[u8]) -> Result<Vec<Result<Event, BadEvent>>, PackError> {
    let mut events = Vec::new();
    read(body, |event| {
        events.push(event.map(|event| event.clone().into_owned()));
    })?;
    Ok(events)
}

/// Like [`decode`], but hands each event to `take` as soon as it is read and as it stands in the pack,
/// without a copy of its texts.
///
/// # Errors
/// As [`decode`]. What was handed out before is no event then, and to be taken back.
pub fn read(
    body: &[u8],
    mut take: impl FnMut(Result<&Event<Cow<'_, str>>, BadEvent>),
) -> Result<(), PackError> {
    let mut handed_out = 0;
    // Checked once, and not again for each text in it.
    let is_all = std::str::from_utf8(body).is_ok_and(|text| {
        let events = fast::read(text, |event| {
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
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    fields: Option<&'a RawValue>,
    #[serde(borrow)]
    events: Option<&'a RawValue>,
}

/// Reads JSON of any form, and hands out what comes after the first `handed_out` entries.
pub(super) fn read_rest(
    body: &[u8],
    handed_out: usize,
    mut take: impl FnMut(Result<&Event<Cow<'_, str>>, BadEvent>),
) -> Result<(), PackError> {
    let text = String::from_utf8_lossy(body);
    let repaired = matches!(text, Cow::Owned(_));
    // A list of the same values would do, too.
    if !is_object(&text) {
        return Err(PackError::NotAPack("it is no object".to_owned()));
    }
    let outline: Outline<'_> = serde_json::from_str(&text).map_err(|error| not_a_pack(&error))?;
    let columns = columns_of(&outline)?;
    let events = outline.events.map_or("null", RawValue::get);
    let events: Vec<&RawValue> =
        serde_json::from_str(events).map_err(|error| not_a_pack(&error))?;
    for (index, entry) in events.into_iter().enumerate().skip(handed_out) {
        match validate(entry, columns.as_ref(), repaired) {
            Ok(event) => take(Ok(&event)),
            Err(reason) => take(Err(bad_event(index, entry, columns.as_ref(), reason))),
        }
    }
    Ok(())
}

/// The columns of the entries. A pack of version 1 has the names inside of them.
fn columns_of<'a>(outline: &Outline<'a>) -> Result<Option<Columns<'a>>, PackError> {
    let version: u64 = serde_json::from_str(outline.v.get())
        .map_err(|_| PackError::NotAPack("its version is not a whole number".to_owned()))?;
    match version {
        1 => Ok(None),
        VERSION => {
            let fields = outline.fields.map_or("null", RawValue::get);
            let not_fields = |why: String| PackError::NotAPack(format!("its fields: {why}"));
            let fields =
                serde_json::from_str(fields).map_err(|error| not_fields(error.to_string()))?;
            Columns::new(outline.kind, fields)
                .map(Some)
                .map_err(not_fields)
        }
        newer if newer > VERSION => Err(PackError::NewerVersion(newer)),
        _ => Err(PackError::NotAPack(format!(
            "there is no version {version}"
        ))),
    }
}

fn validate<'a>(
    entry: &'a RawValue,
    columns: Option<&'a Columns<'_>>,
    repaired: bool,
) -> Result<Event<Cow<'a, str>>, String> {
    if repaired && entry.get().contains(REPLACEMENT) {
        return Err("it holds bytes that are not UTF-8".to_owned());
    }
    let read = match columns {
        None if !is_object(entry.get()) => return Err("it is no object".to_owned()),
        None => serde_json::from_str(entry.get()),
        Some(columns) => columns
            .zip_with(entry)
            .and_then(|pairs| Read::deserialize(MapDeserializer::new(pairs))),
    };
    read.map_err(|error| error.to_string())?.into_event()
}

fn bad_event(
    index: usize,
    entry: &RawValue,
    columns: Option<&Columns<'_>>,
    reason: String,
) -> BadEvent {
    // An entry whose values have no names says no more with them.
    let named = columns.and_then(|columns| Some(columns.zip_with(entry).ok()?.collect()));
    let named = named.and_then(|pairs: BTreeMap<_, _>| serde_json::to_string(&pairs).ok());
    let body = named.unwrap_or_else(|| entry.get().to_owned());
    let fields: Value = serde_json::from_str(&body).unwrap_or_default();
    let event_id = fields.get("event_id").and_then(Value::as_str);
    let event_id = event_id.and_then(|text| Uuid::parse_str(text).ok());
    let says_time = event_id.filter(|id| matches!(id.get_version_num(), 7 | 8));
    BadEvent {
        index,
        reason,
        event_id,
        ad_id: fields.get("ad_id").and_then(Value::as_i64),
        occurred_at: says_time.and_then(EventId::from_uuid).map(EventId::time),
        body,
    }
}

fn is_object(json: &str) -> bool {
    json.trim_start().starts_with('{')
}

fn not_a_pack(error: &serde_json::Error) -> PackError {
    PackError::NotAPack(error.to_string())
}
