//! Measures AdTally: each bar runs AdTally and what it is held against in turn, in one run, on
//! private servers, and has no figure unless every event was counted exactly once.
//!
//! A bar is a file in `bars`; what it is held against is in `peers`; `lab` has the servers, `program`
//! the processes, `generator` the load, `usage` what it all cost, `figure` the ratios, `report` the
//! table.

mod args;
mod backlog;
mod bare;
mod bars;
mod drain;
mod figure;
mod generator;
mod lab;
mod latencies;
mod pairs;
mod peers;
mod program;
mod psql;
mod queues;
mod report;
mod rows;
mod run;
mod traffic;
mod usage;

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

pub use run::run;

/// The process that this program was started as, run to its end, unless that is itself.
#[must_use]
pub fn run_as_named() -> Option<ExitCode> {
    let started_as = std::env::args_os().next()?;
    match Path::new(&started_as).file_name().and_then(OsStr::to_str)? {
        bare::NAME => Some(bare::run()),
        _ => adtally::run_as_named(),
    }
}
