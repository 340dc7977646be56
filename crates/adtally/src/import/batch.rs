//! Rows put together into requests.

use actix_web::web::Bytes;
use tokio::sync::mpsc;

use super::input::InputError;
use super::row::{Naming, OtherLines, Rows};
use super::summary::Refusal;

/// A request's body never grows much beyond this; the API takes four times as much.
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// Rows that were read, and the request that sends their events.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// A JSON array of the events.
    pub(super) body: Bytes,
    /// The line of each event in the body.
    pub(super) lines: Vec<u64>,
    /// The places in the body of events whose ids the file says: rows may share them.
    pub(super) named: Vec<usize>,
    /// The rows that are no events.
    pub(super) refused: Vec<Refusal>,
    /// The lines that begin no row.
    pub(super) other_lines: OtherLines,
}

impl Batch {
    fn rows(&self) -> usize {
        self.lines.len() + self.refused.len()
    }

    fn holds_lines(&self) -> bool {
        self.rows() > 0 || self.other_lines.total() > 0
    }
}

/// Reads all of `rows` and hands them on in batches of up to `size`, until the receiver is gone.
///
/// # Errors
/// When the file cannot be read on, or none of its first rows is an event: then nothing is sent.
pub(super) fn read_batches(
    mut rows: impl Rows,
    size: usize,
    batches: &mpsc::Sender<Batch>,
) -> Result<(), InputError> {
    let mut first = true;
    loop {
        let (batch, end) = read_batch(&mut rows, size);
        if first && batch.lines.is_empty() {
            refuse_all(&batch)?;
        }
        first = false;
        if batch.holds_lines() && batches.blocking_send(batch).is_err() {
            return Ok(());
        }
        // What was read before the file broke is good and was sent.
        match end {
            End::Full => {}
            End::Whole => return Ok(()),
            End::Broken(error) => return Err(error),
        }
    }
}

/// Why a batch ends where it does.
enum End {
    /// It has its size.
    Full,
    /// The file was read to its end.
    Whole,
    /// The file cannot be read on.
    Broken(InputError),
}

fn read_batch(rows: &mut impl Rows, size: usize) -> (Batch, End) {
    let mut body = vec![b'['];
    let mut batch = Batch::default();
    let end = loop {
        if batch.rows() >= size || body.len() >= MAX_BODY_BYTES {
            break End::Full;
        }
        let separator = body.len();
        if separator > 1 {
            body.push(b',');
        }
        let row = match rows.next(&mut body) {
            Ok(Some(row)) => row,
            Ok(None) => break End::Whole,
            Err(error) => break End::Broken(error),
        };
        match row.event {
            Ok(naming) => {
                if naming == Naming::ByFile {
                    batch.named.push(batch.lines.len());
                }
                batch.lines.push(row.line);
            }
            Err(fault) => {
                body.truncate(separator);
                batch.refused.push(Refusal::of_row(row.line, fault));
            }
        }
    };
    // The separator of a row that did not follow.
    if body.ends_with(b",") {
        body.pop();
    }
    body.push(b']');
    batch.body = body.into();
    batch.other_lines = rows.take_other_lines();
    (batch, end)
}

/// A file whose first rows are all refused was described wrongly; say so before reading it all.
fn refuse_all(batch: &Batch) -> Result<(), InputError> {
    let Some(first) = batch.refused.first() else {
        return Ok(());
    };
    let rest = match batch.refused.len() {
        1 => String::new(),
        count => format!("; none of the first {count} rows is an event"),
    };
    Err(InputError::Content(format!(
        "{first}{rest}, so nothing was sent"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::row::{Row, RowFault};

    /// Rows numbered from 1; those of `bad` are refused, and reading breaks after `whole` rows.
    struct Numbers {
        next: u64,
        bad: fn(u64) -> bool,
        last: u64,
        breaks: bool,
    }

    impl Rows for Numbers {
        fn next(&mut self, json: &mut Vec<u8>) -> Result<Option<Row>, InputError> {
            self.next += 1;
            let line = self.next;
            if line > self.last {
                let error = InputError::Content("broken".to_owned());
                return if self.breaks { Err(error) } else { Ok(None) };
            }
            if (self.bad)(line) {
                let event = Err(RowFault::new("invalid_time", "x"));
                return Ok(Some(Row { line, event }));
            }
            json.extend(line.to_string().bytes());
            Ok(Some(Row {
                line,
                event: Ok(Naming::ByRow),
            }))
        }

        fn take_other_lines(&mut self) -> OtherLines {
            OtherLines::default()
        }
    }

    fn read(bad: fn(u64) -> bool, last: u64, breaks: bool) -> (Vec<Batch>, Result<(), InputError>) {
        let rows = Numbers {
            next: 0,
            bad,
            last,
            breaks,
        };
        let (sender, mut receiver) = mpsc::channel(100);
        let end = read_batches(rows, 3, &sender);
        drop(sender);
        let mut batches = Vec::new();
        while let Ok(batch) = receiver.try_recv() {
            batches.push(batch);
        }
        (batches, end)
    }

    #[test]
    fn every_row_is_in_one_batch() {
        let (batches, end) = read(|line| line == 2 || line == 6, 7, false);
        end.unwrap();
        let bodies: Vec<_> = batches.iter().map(|b| b.body.as_ref()).collect();
        assert_eq!(bodies, [b"[1,3]".as_slice(), b"[4,5]", b"[7]"]);
        assert_eq!(batches[0].lines, [1, 3]);
        assert_eq!(batches[1].refused[0].line, 6);
    }

    #[test]
    fn what_was_read_before_a_file_broke_is_sent() {
        let (batches, end) = read(|_| false, 4, true);
        assert_eq!(end.unwrap_err().to_string(), "broken");
        assert_eq!(batches.len(), 2);
        assert_eq!(batches[1].body.as_ref(), b"[4]");
    }

    #[test]
    fn a_file_described_wrongly_is_refused_before_anything_is_sent() {
        let (batches, end) = read(|_| true, 1_000, false);
        assert!(batches.is_empty());
        assert_eq!(
            end.unwrap_err().to_string(),
            "line 1: invalid_time: x; none of the first 3 rows is an event, so nothing was sent"
        );
    }
}
