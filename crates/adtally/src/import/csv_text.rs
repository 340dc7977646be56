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

/// Text in which CRLF became LF and whose last line ends too. So a row's id and line number do not
/// depend on the line breaks of the system that wrote the file.
pub(super) struct CsvText {
    inner: Box<dyn BufRead + Send>,
    row_bound: RowBound,
    /// A CR was read, and what follows it was not yet.
    after_cr: bool,
    last: u8,
}

impl CsvText {
    /// The text of `inner`, read no further than `row_bound` allows.
    pub(super) fn new(inner: Box<dyn BufRead + Send>, row_bound: RowBound) -> Self {
        Self {
            inner,
            row_bound,
            after_cr: false,
            last: b'\n',
        }
    }

    /// Copies from `chunk` to `out` what fits; the bytes taken and those written.
    fn copy(chunk: &[u8], out: &mut [u8], after_cr: &mut bool) -> (usize, usize) {
        let (mut taken, mut written) = (0, 0);
        let mut slots = out.iter_mut();
        for byte in chunk.iter().copied() {
            if *after_cr && byte != b'\n' {
                let Some(slot) = slots.next() else { break };
                *slot = b'\r';
                written += 1;
                *after_cr = false;
            }
            if byte == b'\r' {
                *after_cr = true;
            } else {
                let Some(slot) = slots.next() else { break };
                *slot = byte;
                written += 1;
                *after_cr = false;
            }
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
            let (taken, written) = Self::copy(chunk, out, &mut self.after_cr);
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
    fn a_cr_of_its_own_stays() {
        for step in 1..5 {
            assert_eq!(read(b"a\rb\r\r\nc\n", step, step), b"a\rb\r\nc\n");
        }
        assert_eq!(read(b"a\r", 8, 8), b"a\n");
    }
}
