//! A second reader of CSV, which works on the whole text and by looking for quotes.

use std::ops::Range;

use super::*;

pub(super) struct Reference<'a> {
    pub(super) delimiter: char,
    pub(super) repair: bool,
    pub(super) lines: Vec<&'a str>,
}

/// A row: how many lines it takes, and its place and ad where it is an event.
pub(super) type Found = (usize, Option<(i64, String)>);

impl Reference<'_> {
    pub(super) fn row(&self, first: usize) -> Found {
        let rest = self.lines[first..].join("\n");
        if let Some(row) = self.quoted(&rest) {
            let text = &rest[..row.end];
            let lines = text.matches('\n').count() + 1;
            let fits = row.fields.len() == HEADER.len() && !self.swallows(text, &row.quoted);
            if lines == 1 || fits {
                let event = (!row.bare_cr).then(|| event(&row.fields)).flatten();
                return (lines, event);
            }
        }
        let line = self.lines[first];
        if !self.repair || line.contains('\r') {
            return (1, None);
        }
        let fields: Vec<_> = line.split(self.delimiter).map(str::to_owned).collect();
        (1, event(&fields))
    }

    /// The row that begins `text`, if its quotes make sense.
    fn quoted(&self, text: &str) -> Option<Row> {
        let mut row = Row::default();
        loop {
            let rest = &text[row.end..];
            if let Some(inner) = rest.strip_prefix('"') {
                // A quote that is not half of a pair.
                let end = inner.replace("\"\"", "\u{1}\u{1}").find('"')?;
                row.fields.push(inner[..end].replace("\"\"", "\""));
                row.quoted.push(row.end + 1..row.end + 1 + end);
                row.end += end + 2;
            } else {
                let end = rest.find([self.delimiter, '\n']).unwrap_or(rest.len());
                row.bare_cr |= rest[..end].contains('\r');
                row.fields.push(rest[..end].to_owned());
                row.end += end;
            }
            match text[row.end..].chars().next() {
                None | Some('\n') => return Some(row),
                Some(next) if next == self.delimiter => row.end += 1,
                Some(_) => return None,
            }
        }
    }

    /// Whether a line of `row` is a row of its own of which the quotes hold a delimiter.
    fn swallows(&self, row: &str, quoted: &[Range<usize>]) -> bool {
        let mut start = 0;
        row.split('\n').any(|line| {
            let hidden = line
                .match_indices(self.delimiter)
                .any(|(at, _)| quoted.iter().any(|span| span.contains(&(start + at))));
            start += line.len() + 1;
            let fields: Vec<_> = line.split(self.delimiter).map(str::to_owned).collect();
            hidden && could_be_event(&fields)
        })
    }
}

#[derive(Default)]
struct Row {
    end: usize,
    fields: Vec<String>,
    /// Where there is text within quotes.
    quoted: Vec<Range<usize>>,
    bare_cr: bool,
}

fn could_be_event(fields: &[String]) -> bool {
    fields.len() == HEADER.len()
        && fields[1].trim().parse::<i64>().is_ok()
        && fields[2].trim() == TIME
}

fn event(fields: &[String]) -> Option<(i64, String)> {
    if !could_be_event(fields) {
        return None;
    }
    let place = fields[3].trim();
    let invisible = ['\u{feff}', '\u{200b}'];
    if place.starts_with(invisible) || place.ends_with(invisible) {
        return None;
    }
    let nothing = ["", "NULL", "null", "\\N", "-", "n/a", "N/A"].contains(&place);
    let place = if nothing { "" } else { place };
    Some((fields[1].trim().parse().ok()?, place.to_owned()))
}
