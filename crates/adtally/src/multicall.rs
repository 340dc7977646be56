//! One executable under several names.
//!
//! `adtally dev` starts the API, workers and beat as processes of their own without looking for
//! other executables, which might be missing or of another version: it starts itself by links
//! named like them.

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

use adtally_service::{Shutdown, logging, run_main};
use clap::Parser;

/// Runs the process that this executable was started as, unless that is the tool itself.
pub fn run_as_named() -> Option<ExitCode> {
    let started_as = std::env::args_os().next()?;
    match Path::new(&started_as).file_name().and_then(OsStr::to_str)? {
        "adtally-api" => Some(api()),
        "adtally-worker" => Some(worker()),
        "adtally-beat" => Some(beat()),
        _ => None,
    }
}

fn api() -> ExitCode {
    let args = adtally_api::ApiArgs::parse();
    logging::init();
    run_main(async { adtally_api::run(args, Shutdown::on_signals()?).await })
}

fn worker() -> ExitCode {
    let args = adtally_worker::WorkerArgs::parse();
    logging::init();
    run_main(async { adtally_worker::run(args, Shutdown::on_signals()?).await })
}

fn beat() -> ExitCode {
    let args = adtally_beat::BeatArgs::parse();
    logging::init();
    run_main(async { adtally_beat::run(args, Shutdown::on_signals()?).await })
}
