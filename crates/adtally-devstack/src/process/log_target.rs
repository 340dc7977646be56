//! Where a child's output goes.

use std::fs::OpenOptions;
use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

use crate::DevstackError;

/// Longer lines are cut, in bytes.
const LONGEST_LINE: u64 = 64 * 1024;

/// Where the standard output and standard error of a process go.
#[derive(Debug, Clone)]
pub enum LogTarget {
    /// Nowhere.
    Discard,
    /// Appended to a file, which is for our user alone when it is new.
    File(PathBuf),
    /// To our standard error, each line after this prefix and a space.
    Prefixed(String),
    /// Where ours go.
    Inherit,
}

impl LogTarget {
    pub(super) fn apply(&self, name: &str, command: &mut Command) -> Result<(), DevstackError> {
        match self {
            Self::Discard => {
                command.stdout(Stdio::null()).stderr(Stdio::null());
            }
            Self::Inherit => {
                command.stdout(Stdio::inherit()).stderr(Stdio::inherit());
            }
            Self::File(path) => {
                let opened = OpenOptions::new()
                    .create(true)
                    .append(true)
                    .mode(0o600)
                    .open(path);
                let file = opened.map_err(DevstackError::io("could not open log file", path))?;
                let copy = file.try_clone();
                let copy = copy.map_err(DevstackError::io("could not open log file", path))?;
                command.stdout(file).stderr(copy);
            }
            Self::Prefixed(prefix) => {
                let pipe = || -> io::Result<_> {
                    let (reader, writer) = io::pipe()?;
                    Ok((reader, writer.try_clone()?, writer))
                };
                let (reader, out, err) = pipe().map_err(DevstackError::io(
                    "could not make a pipe for",
                    name.as_ref(),
                ))?;
                command.stdout(out).stderr(err);
                let prefix = prefix.clone();
                thread::Builder::new()
                    .name(format!("log of {name}"))
                    .spawn(move || copy_lines(reader, &prefix, write_to_stderr))
                    .map_err(DevstackError::io(
                        "could not copy the log of",
                        name.as_ref(),
                    ))?;
            }
        }
        Ok(())
    }
}

/// Copies lines until every writer has ended.
fn copy_lines(from: impl Read, prefix: &str, mut to: impl FnMut(&[u8])) {
    let mut reader = BufReader::new(from);
    let mut line = Vec::new();
    let mut next = |line: &mut Vec<u8>| {
        line.clear();
        let mut bounded = reader.by_ref().take(LONGEST_LINE);
        bounded.read_until(b'\n', line).is_ok_and(|read| read > 0)
    };
    while next(&mut line) {
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        to(&[prefix.as_bytes(), b" ", text, b"\n"].concat());
    }
}

/// When nobody reads our standard error any more the child must not block: the text is lost.
fn write_to_stderr(text: &[u8]) {
    let _ = io::stderr().lock().write_all(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_gets_the_prefix_even_the_unfinished_last_one() {
        let mut shown = Vec::new();
        copy_lines(&b"one\n\n\xfftwo"[..], "api |", |text| {
            shown.extend_from_slice(text)
        });
        assert_eq!(shown, b"api | one\napi | \napi | \xfftwo\n");
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let mut lengths = Vec::new();
        let length = usize::try_from(LONGEST_LINE).unwrap();
        copy_lines(&vec![b'x'; length + 5][..], "", |text| {
            lengths.push(text.len())
        });
        assert_eq!(lengths, [length + 2, 5 + 2]);
    }
}
