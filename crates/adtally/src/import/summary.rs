//! What became of the rows.

use std::collections::{BTreeMap, BinaryHeap, HashSet};
use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

use super::row::{OtherLines, RowFault};
use uuid::Uuid;

use super::delivery::Delivered;
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

/// The lines so far. Each is one of these: accepted, repeated, refused, or none that begins a row.
#[derive(Debug, Default)]
pub(super) struct Summary {
    /// Rows whose events the API took: new to it, or known from an import before. It cannot tell
    /// yet; either way each counts once.
    accepted: u64,
    /// Rows whose events the API took from another row of the file.
    repeated: u64,
    refused: u64,
    codes: BTreeMap<String, u64>,
    /// The first refused rows, the last of them on top.
    first: BinaryHeap<Refusal>,
    other_lines: OtherLines,
    /// The events so far whose ids the file says.
    named: HashSet<Uuid>,
}

impl Summary {
    /// Counts what became of a batch.
    pub(super) fn add(&mut self, delivered: Delivered) {
        let known = self.named.len();
        let named = delivered.named.len();
        self.named.extend(delivered.named);
        let repeated = (named - (self.named.len() - known)) as u64;
        self.repeated += repeated;
        self.accepted += delivered.accepted - repeated;
        self.other_lines += delivered.other_lines;
        delivered
            .refused
            .into_iter()
            .for_each(|refusal| self.refuse(refusal));
    }

    /// Counts a row that was refused.
    fn refuse(&mut self, refusal: Refusal) {
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

    /// How many lines begin a row.
    pub(super) fn rows(&self) -> u64 {
        self.accepted + self.repeated + self.refused
    }

    /// How many lines there are.
    pub(super) fn lines(&self) -> u64 {
        self.rows() + self.other_lines.total()
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
        let OtherLines {
            header,
            blank,
            continued,
        } = self.other_lines;
        writeln!(
            out,
            "{name}: {}: {} header, {} blank, {} within rows, {}",
            counted(rows + self.other_lines.total(), "line"),
            thousands(header),
            thousands(blank),
            thousands(continued),
            counted(rows, "row"),
        )?;
        let repeated = match self.repeated {
            0 => String::new(),
            rows => format!(" {} repeated,", thousands(rows)),
        };
        writeln!(
            out,
            "{name}: {} in {} ({}/s): {} accepted,{repeated} {} refused",
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
    fn a_clean_import_says_what_every_line_was() {
        let mut summary = Summary::default();
        summary.add(Delivered {
            accepted: 32_393,
            other_lines: OtherLines {
                header: 1,
                blank: 2,
                continued: 3,
            },
            ..Delivered::default()
        });
        assert_eq!(
            written(summary),
            "f: 32,399 lines: 1 header, 2 blank, 3 within rows, 32,393 rows\n\
             f: 32,393 rows in 2.00 s (16,196/s): 32,393 accepted, 0 refused\n"
        );
    }

    #[test]
    fn events_that_several_rows_name_are_accepted_once_and_then_repeated() {
        let mut summary = Summary::default();
        for (accepted, named) in [(5, vec![1_u128, 2, 1]), (3, vec![2, 3])] {
            summary.add(Delivered {
                accepted,
                named: named.into_iter().map(Uuid::from_u128).collect(),
                ..Delivered::default()
            });
        }
        assert_eq!((summary.rows(), summary.lines()), (8, 8));
        let text = written(summary);
        assert!(
            text.ends_with("6 accepted, 2 repeated, 0 refused\n"),
            "{text}"
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
        assert!(lines[13].ends_with("0 accepted, 1,012 refused"));
    }
}
