//! The rows of a CSV file, before anybody asks what their fields mean.

use std::io::{self, BufRead};

use super::args::Quoting;
use super::fields::{Fields, QuoteFault, Splitter};
use super::lines::{Line, Lines};
use super::row::{OtherLines, RowFault};

/// The most bytes a row may have: a quote that is never closed must not swallow the file.
const MAX_ROW_BYTES: usize = 1024 * 1024;

/// A line's text, or why it has none that is worth a look.
type ReadLine = Result<Vec<u8>, RowFault>;

/// Reads the rows of a CSV file.
///
/// Every line belongs to the header, is blank, begins a row or continues one within quotes. A line
/// whose quotes make no sense costs itself only: reading goes on behind it, not behind the next
/// quote.
pub(super) struct Records {
    lines: Lines,
    delimiter: u8,
    quoting: Quoting,
    splitter: Splitter,
    /// The fields of a row that was read without quotes.
    unquoted: Option<Fields>,
    /// How many fields the header has.
    width: usize,
    lines_read: u64,
    others: OtherLines,
}

impl Records {
    /// The rows of `text`, whose fields are separated by `delimiter`.
    pub(super) fn new(text: Box<dyn BufRead + Send>, delimiter: u8, quoting: Quoting) -> Self {
        Self {
            lines: Lines::new(text, MAX_ROW_BYTES),
            delimiter,
            quoting,
            splitter: Splitter::new(delimiter),
            unquoted: None,
            width: 0,
            lines_read: 0,
            others: OtherLines::default(),
        }
    }

    /// Reads the header, the first line that is not blank; no fields for a file without one.
    ///
    /// # Errors
    /// When the file cannot be read; within, what is wrong with the line.
    pub(super) fn header(&mut self) -> io::Result<Result<Fields, RowFault>> {
        let Some((_, line)) = self.next_line()? else {
            return Ok(Ok(Fields::default()));
        };
        self.others.header += 1;
        // Names are not worth a look behind the line for the end of a quote.
        let read = line.and_then(|line| self.split(&line, |_, _| false));
        Ok(read.map(|()| {
            let header = self.fields().clone();
            self.width = header.len();
            header
        }))
    }

    /// Reads the next row, whose fields are then in `fields`: the line it begins on, and what is
    /// wrong with it. `None` after the last.
    ///
    /// `is_row` tells whether a line, read without quotes, would be a row itself.
    ///
    /// # Errors
    /// When the file cannot be read on.
    pub(super) fn next(
        &mut self,
        is_row: impl Fn(&Fields) -> bool,
    ) -> io::Result<Option<(u64, Result<(), RowFault>)>> {
        let Some((number, line)) = self.next_line()? else {
            return Ok(None);
        };
        let read = line.and_then(|line| {
            self.split(&line, |records, first| records.read_on(first, &is_row))?;
            self.check_width()
        });
        Ok(Some((number, read)))
    }

    /// The fields of the last row.
    pub(super) fn fields(&self) -> &Fields {
        self.unquoted
            .as_ref()
            .unwrap_or_else(|| self.splitter.fields())
    }

    /// What the last row is known by: its fields, less the quotes around them even where quotes are
    /// read as they are. So a row has one id, however its quotes are read.
    pub(super) fn identity(&self) -> &Fields {
        if self.splitter.is_open() {
            self.fields()
        } else {
            self.splitter.fields()
        }
    }

    /// How many lines were read.
    pub(super) fn lines_read(&self) -> u64 {
        self.lines_read
    }

    /// The lines that begin no row, since they were last taken.
    pub(super) fn take_others(&mut self) -> OtherLines {
        std::mem::take(&mut self.others)
    }

    /// The next line that is not blank, and its number.
    fn next_line(&mut self) -> io::Result<Option<(u64, ReadLine)>> {
        while let Some(line) = self.lines.next()? {
            self.lines_read += 1;
            let line = match line {
                Line::Text(text) if text.is_empty() => {
                    self.others.blank += 1;
                    continue;
                }
                Line::Text(text) => Ok(text),
                Line::TooLong => Err(RowFault::new("too_long", "the line is longer than 1 MiB")),
            };
            return Ok(Some((self.lines_read, line)));
        }
        Ok(None)
    }

    /// Splits the row that begins with `line` into its fields. `read_on` reads a row that is open
    /// to its end, if it has one.
    fn split(
        &mut self,
        line: &[u8],
        read_on: impl FnOnce(&mut Self, &[u8]) -> bool,
    ) -> Result<(), RowFault> {
        self.unquoted = None;
        self.splitter.first_line(line);
        if self.quoting == Quoting::None {
            return self.read_unquoted(line);
        }
        let fault = self.splitter.fault();
        match fault {
            Some(QuoteFault::NeverClosed { .. }) if read_on(self, line) => {}
            None => {}
            Some(_) if self.quoting == Quoting::Auto && self.delimiter == b'\t' => {
                // What was read behind the line is not this row's.
                self.splitter.first_line(line);
                return self.read_unquoted(line);
            }
            Some(fault) => return Err(quote_fault(fault)),
        }
        if self.splitter.has_bare_cr() {
            return Err(bare_cr());
        }
        Ok(())
    }

    fn read_unquoted(&mut self, line: &[u8]) -> Result<(), RowFault> {
        if line.contains(&b'\r') {
            return Err(bare_cr());
        }
        self.unquoted = Some(Fields::unquoted(line, self.delimiter));
        Ok(())
    }

    /// Reads the lines behind `first`, which ends within quotes, up to the quote that closes them.
    /// Whether there is one: the row must then have the header's width, and no line of it may be a
    /// row of its own. Otherwise the lines stay unread.
    fn read_on(&mut self, first: &[u8], is_row: impl Fn(&Fields) -> bool) -> bool {
        let delimiter = self.delimiter;
        let swallows = |splitter: &Splitter, line: &[u8]| {
            splitter.delimiters_in_quotes() > 0 && is_row(&Fields::unquoted(line, delimiter))
        };
        if swallows(&self.splitter, first) {
            return false;
        }
        let mut bytes = first.len();
        for number in 0.. {
            let Some(Line::Text(line)) = self.lines.peek(number) else {
                return false;
            };
            bytes += 1 + line.len();
            self.splitter.further_line(line);
            if bytes > MAX_ROW_BYTES || swallows(&self.splitter, line) {
                return false;
            }
            match self.splitter.fault() {
                Some(QuoteFault::NeverClosed { .. }) => {}
                Some(QuoteFault::ClosedEarly { .. }) => return false,
                None if self.splitter.fields().len() != self.width => return false,
                None => return self.take(number + 1),
            }
        }
        false
    }

    /// Takes the next `count` lines as parts of the row.
    fn take(&mut self, count: usize) -> bool {
        for _ in 0..count {
            // They were read when they were looked at.
            if matches!(self.lines.next(), Ok(Some(_))) {
                self.lines_read += 1;
                self.others.continued += 1;
            }
        }
        true
    }

    fn check_width(&self) -> Result<(), RowFault> {
        let (found, expected) = (self.fields().len(), self.width);
        if found == expected {
            return Ok(());
        }
        let columns = if found == 1 { "column" } else { "columns" };
        let detail = format!("it has {found} {columns}, the first line has {expected}");
        Err(RowFault::new("invalid_row", detail))
    }
}

fn quote_fault(fault: QuoteFault) -> RowFault {
    let detail = match fault {
        QuoteFault::ClosedEarly { column } => {
            format!("text follows the quote that closes column {column}")
        }
        QuoteFault::NeverClosed { column } => {
            format!("the quote that opens column {column} is not closed")
        }
    };
    let hint = "if quotes mean nothing in this file, say --quoting none";
    RowFault::new("invalid_quotes", format!("{detail}: {hint}"))
}

fn bare_cr() -> RowFault {
    let detail = "a carriage return stands within the line: end lines with LF or CR LF";
    RowFault::new("invalid_row", detail)
}
