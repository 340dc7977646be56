//! One executable under several names.
//!
//! `adtally dev` starts the API, workers and beat as processes of their own without looking for
//! other executables, which might be missing or of another version: it starts itself by links
//! named like them.

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

use adtally_service::serve;

/// Runs the process that this executable was started as, unless that is the tool itself.
pub fn run_as_named() -> Option<ExitCode> {
    let started_as = std::env::args_os().next()?;
    match Path::new(&started_as).file_name().and_then(OsStr::to_str)? {
        "adtally-api" => Some(serve(adtally_api::run)),
        "adtally-worker" => Some(serve(adtally_worker::run)),
        "adtally-beat" => Some(serve(adtally_beat::run)),
        _ => None,
    }
}
