//! Lines of a text, of bounded length.

use std::collections::VecDeque;
use std::io::{self, BufRead, Read};

/// One line, without the LF that ends it and the CRs before that.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Its text.
    Text(Vec<u8>),
    /// It has more bytes than a line may have, and was read over.
    TooLong,
}

/// Reads lines. LF alone ends one; what an unfinished last line holds is a line too.
///
/// So a row's id and line number do not depend on the line breaks of the system that wrote the file.
pub(super) struct Lines {
    text: Box<dyn BufRead + Send>,
    max_bytes: usize,
    ahead: VecDeque<Line>,
    /// How reading ended, until that is told.
    end: Option<io::Result<()>>,
}

impl Lines {
    /// The lines of `text`, each with fewer than `max_bytes` bytes.
    pub(super) fn new(text: Box<dyn BufRead + Send>, max_bytes: usize) -> Self {
        Self {
            text,
            max_bytes,
            ahead: VecDeque::new(),
            end: None,
        }
    }

    /// Takes the next line; `None` after the last.
    ///
    /// # Errors
    /// When the text cannot be read on. What was read of a line until then is no line.
    pub(super) fn next(&mut self) -> io::Result<Option<Line>> {
        if self.ahead.is_empty() {
            self.read_ahead();
        }
        match self.ahead.pop_front() {
            Some(line) => Ok(Some(line)),
            None => self.end.replace(Ok(())).unwrap_or(Ok(())).map(|()| None),
        }
    }

    /// The line `number` lines behind the next one; `None` where the text ends, or breaks off,
    /// before it.
    pub(super) fn peek(&mut self, number: usize) -> Option<&Line> {
        while self.ahead.len() <= number && self.end.is_none() {
            self.read_ahead();
        }
        self.ahead.get(number)
    }

    fn read_ahead(&mut self) {
        if self.end.is_some() {
            return;
        }
        match self.read() {
            Ok(Some(line)) => self.ahead.push_back(line),
            Ok(None) => self.end = Some(Ok(())),
            Err(error) => self.end = Some(Err(error)),
        }
    }

    fn read(&mut self) -> io::Result<Option<Line>> {
        let mut line = Vec::new();
        let mut bounded = self.text.by_ref().take(self.max_bytes as u64);
        if bounded.read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        if line.len() == self.max_bytes && !line.ends_with(b"\n") {
            self.text.skip_until(b'\n')?;
            return Ok(Some(Line::TooLong));
        }
        if line.ends_with(b"\n") {
            line.pop();
        }
        while line.ends_with(b"\r") {
            line.pop();
        }
        Ok(Some(Line::Text(line)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &[u8], buffer: usize) -> Vec<Line> {
        let inner = io::BufReader::with_capacity(buffer, io::Cursor::new(text.to_vec()));
        let mut lines = Lines::new(Box::new(inner), 8);
        std::iter::from_fn(|| lines.next().unwrap()).collect()
    }

    fn text(line: &str) -> Line {
        Line::Text(line.as_bytes().to_vec())
    }

    proptest! {
        #[test]
        fn both_line_breaks_read_the_same(text in "([ab\"]{0,6}\n){0,20}[ab\"]{0,6}", buffer in 1_usize..9) {
            let dos = text.replace('\n', "\r\n");
            let unix = read(text.as_bytes(), buffer);
            prop_assert_eq!(&read(dos.as_bytes(), buffer), &unix);
            prop_assert_eq!(unix.len(), text.lines().count());
        }
    }

    #[test]
    fn nothing_but_lf_ends_a_line() {
        let whole = "a\rb\u{b}\u{c}\0";
        assert_eq!(read(format!("{whole}\n").as_bytes(), 3), [text(whole)]);
        assert_eq!(
            read("\u{85}\u{2028}\n".as_bytes(), 3),
            [text("\u{85}\u{2028}")]
        );
        assert_eq!(read(b"\x1a\nb\r\r", 3), [text("\x1a"), text("b")]);
    }

    #[test]
    fn a_line_that_is_too_long_is_read_over() {
        let lines = read(b"1234567\n12345678\n1234567890\n1\n", 3);
        assert_eq!(
            lines,
            [text("1234567"), Line::TooLong, Line::TooLong, text("1")]
        );
    }

    #[test]
    fn a_text_that_breaks_off_gives_its_whole_lines_first_whoever_looked_ahead() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("broken"))
            }
        }
        for peeked in 0..5 {
            let inner = io::Cursor::new(b"a\nb\nc".to_vec()).chain(Broken);
            let mut lines = Lines::new(Box::new(io::BufReader::new(inner)), 8);
            assert_eq!(lines.peek(peeked).is_some(), peeked < 2);
            assert_eq!(lines.next().unwrap(), Some(text("a")));
            assert_eq!(lines.next().unwrap(), Some(text("b")));
            assert_eq!(lines.next().unwrap_err().to_string(), "broken");
            assert_eq!(lines.next().unwrap(), None);
        }
    }
}
