//! `adtally`: the operator's tool, and under other names the processes that `adtally dev` starts.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    adtally::run_as_named().unwrap_or_else(|| adtally::run(adtally::Cli::parse()))
}
