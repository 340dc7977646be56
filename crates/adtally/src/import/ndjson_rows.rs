//! Rows of an NDJSON file: one event per line, with the fields of the API.

#[cfg(test)]
mod tests;

use std::io::{self, BufRead, Read};

use adtally_domain::EventKind;
use serde_json::{Map, Value};

use super::input::InputError;
use super::row::{Row, RowFault, Rows};
use super::row_id::RowIds;

/// The most bytes of one line: several times what all fields of an event may hold.
const MAX_LINE_BYTES: u64 = 64 * 1024;

/// Reads events from lines of JSON.
pub(super) struct NdjsonRows {
    name: String,
    text: Box<dyn BufRead + Send>,
    line: u64,
    buffer: Vec<u8>,
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
            text,
            line: 0,
            buffer: Vec::new(),
            kind,
            ids,
        }
    }

    /// Reads the next line into the buffer, its end cut off; `None` at the end of the file.
    fn read_line(&mut self) -> io::Result<Option<Result<(), RowFault>>> {
        self.buffer.clear();
        let mut bounded = self.text.by_ref().take(MAX_LINE_BYTES);
        if bounded.read_until(b'\n', &mut self.buffer)? == 0 {
            return Ok(None);
        }
        self.line += 1;
        let whole = self.buffer.ends_with(b"\n") || bounded.limit() > 0;
        if !whole {
            self.text.skip_until(b'\n')?;
            let detail = "the line is longer than 64 KiB";
            return Ok(Some(Err(RowFault::new("too_long", detail))));
        }
        let text = self.buffer.trim_ascii().len();
        let start = self.buffer.len() - self.buffer.trim_ascii_start().len();
        self.buffer.drain(..start);
        self.buffer.truncate(text);
        Ok(Some(Ok(())))
    }

    fn event(&mut self, json: &mut Vec<u8>) -> Result<(), RowFault> {
        let row_id = self.ids.next(std::iter::once(self.buffer.as_slice()));
        let mut event: Map<String, Value> = serde_json::from_slice(&self.buffer)
            .map_err(|error| RowFault::new("invalid_json", fault(&error)))?;
        if is_absent(&event, "event_id") {
            event.insert("event_id".to_owned(), row_id.into());
        }
        if let (true, Some(kind)) = (is_absent(&event, "kind"), self.kind) {
            event.insert("kind".to_owned(), kind.as_str().into());
        }
        let start = json.len();
        serde_json::to_writer(&mut *json, &event).map_err(|error| {
            json.truncate(start);
            RowFault::new("invalid_json", error.to_string())
        })
    }
}

/// Whether the API would find no value in the field `name`.
fn is_absent(event: &Map<String, Value>, name: &str) -> bool {
    event.get(name).is_none_or(Value::is_null)
}

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
            let read = self.read_line().map_err(|error| InputError::Read {
                name: self.name.clone(),
                line: self.line,
                error: error.to_string(),
            })?;
            let event = match read {
                None => return Ok(None),
                Some(Ok(())) if self.buffer.is_empty() => continue,
                Some(Ok(())) => self.event(json),
                Some(Err(fault)) => Err(fault),
            };
            let line = self.line;
            return Ok(Some(Row { line, event }));
        }
    }
}
