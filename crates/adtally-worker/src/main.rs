//! `adtally-worker`: AdTally's worker as a process.

use std::process::ExitCode;

use adtally_service::{Shutdown, logging, run_main};
use adtally_worker::WorkerArgs;
use clap::Parser;

fn main() -> ExitCode {
    let args = WorkerArgs::parse();
    logging::init();
    run_main(async { adtally_worker::run(args, Shutdown::on_signals()?).await })
}
