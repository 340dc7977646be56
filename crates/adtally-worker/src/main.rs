//! The `adtally-worker` binary.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    adtally_service::logging::init();
    let args = adtally_worker::WorkerArgs::parse();
    adtally_service::run_main(adtally_worker::run(args))
}
