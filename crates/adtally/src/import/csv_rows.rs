//! Rows of a CSV file.

#[cfg(test)]
mod tests;

use std::io::BufRead;

use adtally_domain::EventKind;
use csv::ByteRecord;

use super::columns::Columns;
use super::csv_text::{CsvText, RowBound};
use super::input::InputError;
use super::local_time::{TimeFault, TimeReader};
use super::row::{PostedEvent, Row, RowFault, Rows};
use super::row_id::RowIds;

/// Reads events from a CSV file whose first row names its columns.
pub(super) struct CsvRows {
    name: String,
    reader: csv::Reader<CsvText>,
    row_bound: RowBound,
    record: ByteRecord,
    columns: Columns,
    /// How many columns there are.
    width: usize,
    kind: Option<EventKind>,
    times: TimeReader,
    ids: RowIds,
    last_line: u64,
}

/// What `CsvRows` needs to know besides the text.
pub(super) struct CsvPlan {
    /// What messages call the file.
    pub(super) name: String,
    /// What separates columns.
    pub(super) delimiter: u8,
    /// What each row is, unless a column says so.
    pub(super) kind: Option<EventKind>,
    /// How times are written.
    pub(super) times: TimeReader,
    /// Ids for rows that have none.
    pub(super) ids: RowIds,
}

impl CsvRows {
    /// Reads the header, in which `find` looks for its columns.
    ///
    /// # Errors
    /// [`InputError`] when the header cannot be read or lacks a column.
    pub(super) fn open(
        text: Box<dyn BufRead + Send>,
        plan: CsvPlan,
        find: impl FnOnce(&[&str]) -> Result<Columns, String>,
    ) -> Result<Self, InputError> {
        let row_bound = RowBound::default();
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(plan.delimiter)
            .terminator(csv::Terminator::Any(b'\n'))
            .flexible(true)
            .from_reader(CsvText::new(text, row_bound.clone()));
        let header = reader
            .byte_headers()
            .map_err(|error| unreadable(&plan.name, 0, &error))?;
        let names: Vec<_> = header.iter().map(String::from_utf8_lossy).collect();
        let names: Vec<&str> = names.iter().map(|name| name.trim()).collect();
        let columns =
            find(&names).map_err(|fault| InputError::Content(format!("{}: {fault}", plan.name)))?;
        Ok(Self {
            width: header.len(),
            name: plan.name,
            reader,
            row_bound,
            record: ByteRecord::new(),
            columns,
            kind: plan.kind,
            times: plan.times,
            ids: plan.ids,
            last_line: 1,
        })
    }

    fn event(&mut self, json: &mut Vec<u8>) -> Result<(), RowFault> {
        if self.record.len() != self.width {
            let (found, expected) = (self.record.len(), self.width);
            let detail = format!("it has {found} columns, the first line has {expected}");
            return Err(RowFault::new("invalid_row", detail));
        }
        // Counted first, so that a row's id does not depend on flags that let more rows in.
        let row_id = self.ids.next(self.record.iter());
        let own_id = self.columns.event_id(&self.record)?;
        let kind = match self.columns.kind(&self.record)?.or(self.kind) {
            Some(kind) => kind,
            None => return Err(RowFault::new("invalid_kind", "its kind is empty")),
        };
        let event = PostedEvent {
            ad_id: self.columns.ad_id(&self.record)?,
            kind,
            event_id: own_id.unwrap_or(&row_id),
            occurred_at: self.occurred_at()?,
            optional: self.columns.optional(&self.record)?,
        };
        let start = json.len();
        serde_json::to_writer(&mut *json, &event).map_err(|error| {
            json.truncate(start);
            RowFault::new("invalid_row", error.to_string())
        })
    }

    fn occurred_at(&self) -> Result<String, RowFault> {
        let text = self.columns.time(&self.record)?;
        match self.times.read(text) {
            Ok(time) => Ok(time.to_string()),
            Err(fault @ TimeFault::Skipped { .. }) => {
                Err(RowFault::new("nonexistent_time", fault.to_string()))
            }
            Err(fault) => Err(RowFault::new("invalid_time", fault.to_string())),
        }
    }
}

impl Rows for CsvRows {
    fn next(&mut self, json: &mut Vec<u8>) -> Result<Option<Row>, InputError> {
        self.row_bound.next_row();
        let more = self
            .reader
            .read_byte_record(&mut self.record)
            .map_err(|error| unreadable(&self.name, self.last_line, &error))?;
        if !more {
            return Ok(None);
        }
        // The reader stands behind the row's own line break, which every row has. Where the
        // record says it began, blank lines may have come first.
        let inner_breaks = self
            .record
            .as_slice()
            .iter()
            .filter(|byte| **byte == b'\n')
            .count();
        self.last_line = self.reader.position().line() - 1;
        Ok(Some(Row {
            line: self.last_line - inner_breaks as u64,
            event: self.event(json),
        }))
    }
}

fn unreadable(name: &str, line: u64, error: &csv::Error) -> InputError {
    let error = match error.kind() {
        csv::ErrorKind::Io(error) => error.to_string(),
        _ => error.to_string(),
    };
    InputError::Read {
        name: name.to_owned(),
        line,
        error,
    }
}
