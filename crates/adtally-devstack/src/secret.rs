//! Passwords and cookies of private servers.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::DevstackError;

/// A new random word of `length` capital letters (20 of them hold 94 bits).
pub(crate) fn random_word(length: usize) -> String {
    (0..length)
        .map(|_| char::from(rand::random_range(b'A'..=b'Z')))
        .collect()
}

/// The word kept in `file`, made at the first call; only the file's owner can read it.
pub(crate) fn kept_word(file: &Path) -> Result<String, DevstackError> {
    match fs::read_to_string(file) {
        Ok(word) if !word.trim().is_empty() => return Ok(word.trim().to_owned()),
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(DevstackError::io("could not read", file)(error));
        }
        _ => {}
    }
    let word = random_word(20);
    write_private(file, &word)?;
    Ok(word)
}

/// Writes `text` to a file with mode 0600.
pub(crate) fn write_private(file: &Path, text: &str) -> Result<(), DevstackError> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(file)
        .and_then(|mut open| open.write_all(text.as_bytes()))
        .map_err(DevstackError::io("could not write", file))
}
