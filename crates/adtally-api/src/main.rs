//! `adtally-api`: AdTally's HTTP API as a process.

use std::process::ExitCode;

fn main() -> ExitCode {
    adtally_service::serve(adtally_api::run)
}
