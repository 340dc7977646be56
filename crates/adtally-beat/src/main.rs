//! `adtally-beat`: AdTally's beat as a process.

use std::process::ExitCode;

use adtally_beat::BeatArgs;
use adtally_service::{Shutdown, logging, run_main};
use clap::Parser;

fn main() -> ExitCode {
    let args = BeatArgs::parse();
    logging::init();
    run_main(async { adtally_beat::run(args, Shutdown::on_signals()?).await })
}
