//! Rows of an NDJSON file: one event per line, with the fields of the API.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::io::BufRead;

use adtally_domain::EventKind;
use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::{RawValue, to_raw_value};

use super::input::InputError;
use super::lines::{Line, Lines};
use super::row::{Naming, OtherLines, Row, RowFault, Rows};
use super::row_id::RowIds;
use super::values::check_event_id;

/// The most bytes of one line: several times what all fields of an event may hold.
const MAX_LINE_BYTES: usize = 64 * 1024;

/// Reads events from lines of JSON.
pub(super) struct NdjsonRows {
    name: String,
    lines: Lines,
    lines_read: u64,
    others: OtherLines,
    kind: Option<EventKind>,
    ids: RowIds,
}

impl NdjsonRows {
    /// The lines of `text`; events without a kind are of `kind`, those without an id get one of
    /// `ids`.
    pub(super) fn new(
        name: String,
        text: Box<dyn BufRead + Send>,
        kind: Option<EventKind>,
        ids: RowIds,
    ) -> Self {
        Self {
            name,
            lines: Lines::new(text, MAX_LINE_BYTES),
            lines_read: 0,
            others: OtherLines::default(),
            kind,
            ids,
        }
    }

    fn event(&mut self, line: &[u8], json: &mut Vec<u8>) -> Result<Naming, RowFault> {
        let row_id = self.ids.next(std::iter::once(line));
        let mut event: Object<'_> = serde_json::from_slice(line)
            .map_err(|error| RowFault::new("invalid_json", fault(&error)))?;
        if let Some(name) = event.twice {
            let detail = format!("it has the field {name:?} twice");
            return Err(RowFault::new("invalid_json", detail));
        }
        let own_id = event.value("event_id");
        if let Some(Ok(id)) = own_id.map(|id| serde_json::from_str::<Cow<'_, str>>(id.get())) {
            check_event_id("event_id", &id)?;
        }
        let naming = match own_id {
            Some(_) => Naming::ByFile,
            None => {
                event.insert("event_id", &row_id)?;
                Naming::ByRow
            }
        };
        if let (None, Some(kind)) = (event.value("kind"), self.kind) {
            event.insert("kind", kind.as_str())?;
        }
        let start = json.len();
        serde_json::to_writer(&mut *json, &event.fields).map_err(|error| {
            json.truncate(start);
            RowFault::new("invalid_json", error.to_string())
        })?;
        Ok(naming)
    }
}

/// A JSON object whose values stay as they were written.
struct Object<'a> {
    fields: BTreeMap<Cow<'a, str>, Cow<'a, RawValue>>,
    /// A field that it has twice. Readers of JSON differ on which value counts.
    twice: Option<String>,
}

impl<'a> Object<'a> {
    /// The value of the field `name`, where the API would find one.
    fn value(&self, name: &str) -> Option<&RawValue> {
        let value = self.fields.get(name)?;
        (value.get() != "null").then_some(value)
    }

    fn insert(&mut self, name: &'static str, text: &str) -> Result<(), RowFault> {
        let value =
            to_raw_value(text).map_err(|error| RowFault::new("invalid_json", error.to_string()))?;
        self.fields.insert(name.into(), Cow::Owned(value));
        Ok(())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut object = Object {
            fields: BTreeMap::new(),
            twice: None,
        };
        while let Some((Name(name), value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
            if object.fields.contains_key(&name) {
                object.twice = Some(name.chars().take(40).collect());
            }
            object.fields.insert(name, Cow::Borrowed(value));
        }
        Ok(object)
    }
}

/// A field's name, borrowed where it holds no escape.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// What is wrong with a line; its only line number would be 1.
fn fault(error: &serde_json::Error) -> String {
    if error.is_data() {
        "it is not a JSON object".to_owned()
    } else {
        format!("it is not JSON (column {})", error.column())
    }
}

impl Rows for NdjsonRows {
    fn next(&mut self, json: &mut Vec<u8>) -> Result<Option<Row>, InputError> {
        loop {
            let line = self
                .lines
                .next()
                .map_err(|error| InputError::read(&self.name, self.lines_read, &error))?;
            let Some(line) = line else {
                return Ok(None);
            };
            self.lines_read += 1;
            let event = match &line {
                Line::Text(text) if text.trim_ascii().is_empty() => {
                    self.others.blank += 1;
                    continue;
                }
                Line::Text(text) => self.event(text.trim_ascii(), json),
                Line::TooLong => {
                    let detail = "the line is longer than 64 KiB";
                    Err(RowFault::new("too_long", detail))
                }
            };
            let line = self.lines_read;
            return Ok(Some(Row { line, event }));
        }
    }

    fn take_other_lines(&mut self) -> OtherLines {
        std::mem::take(&mut self.others)
    }
}
