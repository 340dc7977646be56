//! `adtally-api`: AdTally's HTTP API as a process.

use std::process::ExitCode;

use adtally_api::ApiArgs;
use adtally_service::{Shutdown, logging, run_main};
use clap::Parser;

fn main() -> ExitCode {
    let args = ApiArgs::parse();
    logging::init();
    run_main(async {
        let shutdown = Shutdown::on_signals()?;
        adtally_api::run(args, shutdown).await
    })
}
