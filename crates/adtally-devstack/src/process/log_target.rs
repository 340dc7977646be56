//! Where a child's output goes.

use std::fs::OpenOptions;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

use crate::DevstackError;

/// Where the standard output and standard error of a process go.
#[derive(Debug, Clone)]
pub enum LogTarget {
    /// Nowhere.
    Discard,
    /// Appended to a file.
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
                let opened = OpenOptions::new().create(true).append(true).open(path);
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
                thread::spawn(move || copy_lines(reader, &prefix));
            }
        }
        Ok(())
    }
}

/// Copies lines until every writer has ended.
fn copy_lines(reader: io::PipeReader, prefix: &str) {
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    while reader
        .read_until(b'\n', &mut line)
        .is_ok_and(|read| read > 0)
    {
        if line.last() != Some(&b'\n') {
            line.push(b'\n');
        }
        let mut text = format!("{prefix} ").into_bytes();
        text.append(&mut line);
        // Nobody reads our standard error any more: keep reading, so that the child never blocks.
        let _ = io::stderr().lock().write_all(&text);
    }
}
