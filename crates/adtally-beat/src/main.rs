//! The `adtally-beat` binary.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    adtally_service::logging::init();
    let args = adtally_beat::BeatArgs::parse();
    adtally_service::run_main(adtally_beat::run(args))
}
