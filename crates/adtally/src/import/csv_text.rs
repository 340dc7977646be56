//! The text of a CSV file, with line breaks of one kind and rows of bounded length.

use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The most bytes one row may have: a quote that is never closed must not swallow the file.
const MAX_ROW_BYTES: u64 = 1024 * 1024;

/// Counts the bytes that were read since a row began.
#[derive(Debug, Clone, Default)]
pub(super) struct RowBound(Arc<AtomicU64>);

impl RowBound {
    /// A new row begins.
    pub(super) fn next_row(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    fn check(&self, bytes: usize) -> io::Result<()> {
        // What was read ahead with the row before is not counted; a reader's buffer is small.
        if self.0.fetch_add(bytes as u64, Ordering::Relaxed) > MAX_ROW_BYTES {
            let message =
                "the row after it is longer than 1 MiB: look for a quote that is never closed";
            return Err(io::Error::other(message));
        }
        Ok(())
    }
}

/// Text in which LF alone ends a line, CRs before it are gone, and the last line ends too. So a row's id and line number do not
/// depend on the line breaks of the system that wrote the file.
pub(super) struct CsvText {
    inner: Box<dyn BufRead + Send>,
    row_bound: RowBound,
    /// CRs that were read, of which it is not known yet whether a line ends behind them.
    held: usize,
    last: u8,
}

impl CsvText {
    /// The text of `inner`, read no further than `row_bound` allows.
    pub(super) fn new(inner: Box<dyn BufRead + Send>, row_bound: RowBound) -> Self {
        Self {
            inner,
            row_bound,
            held: 0,
            last: b'\n',
        }
    }

    /// Copies from `chunk` to `out` what fits; the bytes taken and those written.
    fn copy(chunk: &[u8], out: &mut [u8], held: &mut usize) -> (usize, usize) {
        let (mut taken, mut written) = (0, 0);
        let mut slots = out.iter_mut();
        for byte in chunk.iter().copied() {
            match byte {
                b'\r' => {
                    *held += 1;
                    taken += 1;
                    continue;
                }
                b'\n' => *held = 0,
                _ => {}
            }
            // The CRs that end no line, and then the byte itself.
            let free = slots.len();
            for slot in slots.by_ref().take(*held) {
                *slot = b'\r';
            }
            let released = free - slots.len();
            written += released;
            *held -= released;
            let Some(slot) = slots.next() else { break };
            *slot = byte;
            written += 1;
            taken += 1;
        }
        (taken, written)
    }
}

impl Read for CsvText {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        loop {
            let chunk = self.inner.fill_buf()?;
            if chunk.is_empty() {
                let missing = usize::from(self.last != b'\n');
                out.iter_mut().take(missing).for_each(|slot| *slot = b'\n');
                self.last = b'\n';
                return Ok(missing);
            }
            let (taken, written) = Self::copy(chunk, out, &mut self.held);
            self.inner.consume(taken);
            self.row_bound.check(taken)?;
            if let Some(last) = out.get(..written).and_then(<[u8]>::last) {
                self.last = *last;
                return Ok(written);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &[u8], buffer: usize, step: usize) -> Vec<u8> {
        let inner = io::BufReader::with_capacity(buffer, io::Cursor::new(text.to_vec()));
        let mut text = CsvText::new(Box::new(inner), RowBound::default());
        let mut all = Vec::new();
        let mut part = vec![0; step];
        loop {
            match text.read(&mut part).unwrap() {
                0 => return all,
                count => all.extend_from_slice(&part[..count]),
            }
        }
    }

    proptest! {
        #[test]
        fn both_line_breaks_read_the_same(text in "[ab\n\"]{0,60}", buffer in 1_usize..9, step in 1_usize..9) {
            let expected = if text.is_empty() || text.ends_with('\n') { text.clone() } else { format!("{text}\n") };
            prop_assert_eq!(read(text.as_bytes(), buffer, step), expected.as_bytes());
            let dos = text.replace('\n', "\r\n");
            prop_assert_eq!(read(dos.as_bytes(), buffer, step), expected.as_bytes());
        }
    }

    #[test]
    fn a_cr_that_ends_no_line_stays() {
        for step in 1..5 {
            assert_eq!(read(b"a\rb\r\rc\r\r\nd\n", step, step), b"a\rb\r\rc\nd\n");
        }
        assert_eq!(read(b"a\r\r", 8, 8), b"a\n");
    }
}
