//! Rows of a CSV file.

#[cfg(test)]
mod tests;

use std::io::{self, BufRead};

use adtally_domain::EventKind;

use super::args::Quoting;
use super::columns::Columns;
use super::fields::Fields;
use super::input::InputError;
use super::local_time::{TimeFault, TimeReader};
use super::records::Records;
use super::row::{Naming, OtherLines, PostedEvent, Row, RowFault, Rows};
use super::row_id::RowIds;

/// The most bytes of an event in a request: several times what all of its fields may hold.
const MAX_EVENT_BYTES: usize = 64 * 1024;

/// Reads events from a CSV file whose first row names its columns.
pub(super) struct CsvRows {
    name: String,
    records: Records,
    columns: Columns,
    /// How many columns there are.
    width: usize,
    kind: Option<EventKind>,
    times: TimeReader,
    ids: RowIds,
}

/// What `CsvRows` needs to know besides the text.
pub(super) struct CsvPlan {
    /// What messages call the file.
    pub(super) name: String,
    /// What separates columns.
    pub(super) delimiter: u8,
    /// What quotes mean.
    pub(super) quoting: Quoting,
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
        let mut records = Records::new(text, plan.delimiter, plan.quoting);
        let header = records
            .header()
            .map_err(|error| InputError::read(&plan.name, records.lines_read(), &error))?;
        let columns = columns(header, find)
            .map_err(|fault| InputError::Content(format!("{}: {fault}", plan.name)))?;
        Ok(Self {
            width: records.fields().len(),
            name: plan.name,
            records,
            columns,
            kind: plan.kind,
            times: plan.times,
            ids: plan.ids,
        })
    }

    fn event(&mut self, json: &mut Vec<u8>) -> Result<Naming, RowFault> {
        // Counted first, so that a row's id does not depend on flags that let more rows in.
        let row_id = self.ids.next(self.records.identity().iter());
        let fields = self.records.fields();
        let own_id = self.columns.event_id(fields)?;
        let kind = match self.columns.kind(fields)?.or(self.kind) {
            Some(kind) => kind,
            None => return Err(RowFault::new("invalid_kind", "its kind is empty")),
        };
        let event = PostedEvent {
            ad_id: self.columns.ad_id(fields)?,
            kind,
            event_id: own_id.unwrap_or(&row_id),
            occurred_at: self.occurred_at(fields)?,
            optional: self.columns.optional(fields)?,
        };
        let start = json.len();
        let written = serde_json::to_writer(&mut *json, &event);
        let fault = match written {
            Err(error) => RowFault::new("invalid_row", error.to_string()),
            Ok(()) if json.len() - start > MAX_EVENT_BYTES => {
                RowFault::new("too_long", "its event is longer than 64 KiB")
            }
            Ok(()) if own_id.is_some() => return Ok(Naming::ByFile),
            Ok(()) => return Ok(Naming::ByRow),
        };
        json.truncate(start);
        Err(fault)
    }

    fn occurred_at(&self, fields: &Fields) -> Result<String, RowFault> {
        let text = self.columns.time(fields)?;
        match self.times.read(text) {
            Ok(time) => Ok(time.to_string()),
            Err(fault @ TimeFault::Skipped { .. }) => {
                Err(RowFault::new("nonexistent_time", fault.to_string()))
            }
            Err(fault) => Err(RowFault::new("invalid_time", fault.to_string())),
        }
    }

    fn next_record(&mut self) -> io::Result<Option<(u64, Result<(), RowFault>)>> {
        let (columns, times, width) = (&self.columns, &self.times, self.width);
        self.records.next(|line| {
            line.len() == width && columns.could_be_row(line, |time| times.read(time).is_ok())
        })
    }
}

/// The columns of the header that was read.
fn columns(
    header: Result<Fields, RowFault>,
    find: impl FnOnce(&[&str]) -> Result<Columns, String>,
) -> Result<Columns, String> {
    let header = header.map_err(|fault| format!("its first line: {}", fault.detail))?;
    if header.iter().any(|name| name.contains(&0)) {
        return Err("is neither text nor gzip: give a CSV or NDJSON file".to_owned());
    }
    let names: Vec<_> = header.iter().map(String::from_utf8_lossy).collect();
    let names: Vec<&str> = names.iter().map(|name| name.trim()).collect();
    find(&names)
}

impl Rows for CsvRows {
    fn next(&mut self, json: &mut Vec<u8>) -> Result<Option<Row>, InputError> {
        let next = self
            .next_record()
            .map_err(|error| InputError::read(&self.name, self.records.lines_read(), &error))?;
        Ok(next.map(|(line, read)| Row {
            line,
            event: read.and_then(|()| self.event(json)),
        }))
    }

    fn take_other_lines(&mut self) -> OtherLines {
        self.records.take_others()
    }
}
