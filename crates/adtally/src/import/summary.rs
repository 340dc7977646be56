//! What became of the rows.

use std::collections::{BTreeMap, BinaryHeap};
use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

use super::row::RowFault;
use crate::api::Refused;
use crate::numbers::{counted, per_second, short, thousands};

/// How many refused rows are shown one by one.
const SHOWN: usize = 10;

/// A row that was refused. Ordered by line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Refusal {
    /// The line the row begins on.
    pub(super) line: u64,
    /// A stable code.
    pub(super) code: String,
    /// What is wrong with it.
    pub(super) detail: String,
}

impl Refusal {
    /// A row that is no event.
    pub(super) fn of_row(line: u64, fault: RowFault) -> Self {
        Self {
            line,
            code: fault.code.to_owned(),
            detail: fault.detail,
        }
    }

    /// A row whose event the API refused.
    pub(super) fn of_event(line: u64, refused: Refused) -> Self {
        Self {
            line,
            code: refused.code,
            detail: refused.detail,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}: {}", self.line, self.code, self.detail)
    }
}

/// The rows so far.
#[derive(Debug, Default)]
pub(super) struct Summary {
    accepted: u64,
    refused: u64,
    codes: BTreeMap<String, u64>,
    /// The first refused rows, the last of them on top.
    first: BinaryHeap<Refusal>,
}

impl Summary {
    /// Counts rows whose events were accepted.
    pub(super) fn accept(&mut self, rows: u64) {
        self.accepted += rows;
    }

    /// Counts a row that was refused.
    pub(super) fn refuse(&mut self, refusal: Refusal) {
        self.refused += 1;
        match self.codes.get_mut(&refusal.code) {
            Some(count) => *count += 1,
            None => {
                self.codes.insert(refusal.code.clone(), 1);
            }
        }
        self.first.push(refusal);
        if self.first.len() > SHOWN {
            self.first.pop();
        }
    }

    /// How many rows were refused.
    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    /// How many rows were accepted or refused.
    pub(super) fn rows(&self) -> u64 {
        self.accepted + self.refused
    }

    /// Writes the refused rows and the totals.
    pub(super) fn write(
        self,
        out: &mut impl Write,
        name: &str,
        elapsed: Duration,
    ) -> io::Result<()> {
        let rows = self.rows();
        let shown = self.first.len() as u64;
        for refusal in self.first.into_sorted_vec() {
            writeln!(out, "{refusal}")?;
        }
        if self.refused > shown {
            let codes: Vec<_> = self
                .codes
                .iter()
                .map(|(code, count)| format!("{code} {}", thousands(*count)))
                .collect();
            let more = thousands(self.refused - shown);
            writeln!(out, "and {more} more; in all {}", codes.join(", "))?;
        }
        if self.codes.contains_key("too_old") {
            let advice = "start the API with a larger --max-event-age to take older events";
            writeln!(out, "{advice}")?;
        }
        writeln!(
            out,
            "{name}: {} in {} ({}/s): {} accepted, {} refused",
            counted(rows, "row"),
            short(elapsed),
            thousands(per_second(rows, elapsed)),
            thousands(self.accepted),
            thousands(self.refused),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(line: u64, code: &str) -> Refusal {
        Refusal {
            line,
            code: code.to_owned(),
            detail: "d".to_owned(),
        }
    }

    fn written(summary: Summary) -> String {
        let mut out = Vec::new();
        summary
            .write(&mut out, "f", Duration::from_secs(2))
            .unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_clean_import_is_one_line() {
        let mut summary = Summary::default();
        summary.accept(32_393);
        assert_eq!(
            written(summary),
            "f: 32,393 rows in 2.00 s (16,196/s): 32,393 accepted, 0 refused\n"
        );
    }

    #[test]
    fn the_first_ten_refused_rows_are_shown_in_order_and_the_rest_counted() {
        let mut summary = Summary::default();
        for line in (1..=1_012).rev() {
            summary.refuse(refusal(
                line,
                if line == 5 { "too_old" } else { "invalid_time" },
            ));
        }
        let text = written(summary);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "line 1: invalid_time: d");
        assert_eq!(lines[9], "line 10: invalid_time: d");
        assert_eq!(
            lines[10],
            "and 1,002 more; in all invalid_time 1,011, too_old 1"
        );
        assert!(lines[11].contains("--max-event-age"));
        assert!(lines[12].ends_with("0 accepted, 1,012 refused"));
    }
}
