//! The environment of `adtally dev`.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// How the names of libpq's variables begin.
const LIBPQ: &[u8] = b"PG";

/// Begins this program anew without the variables that libpq reads, if any are set. They are about
/// somebody's other servers, and libpq would obey them: not every one can be outdone in a URL.
///
/// # Errors
/// Why it could not.
pub(super) fn forget_libpq() -> io::Result<()> {
    let names: Vec<OsString> = std::env::vars_os()
        .map(|(name, _)| name)
        .filter(|name| name.as_encoded_bytes().starts_with(LIBPQ))
        .collect();
    if names.is_empty() {
        return Ok(());
    }
    let mut anew = Command::new(std::env::current_exe()?);
    let mut arguments = std::env::args_os();
    if let Some(name) = arguments.next() {
        anew.arg0(name);
    }
    anew.args(arguments);
    for name in names {
        anew.env_remove(name);
    }
    Err(anew.exec())
}
