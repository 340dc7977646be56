//! `adtally-worker`: AdTally's worker as a process.

use std::process::ExitCode;

fn main() -> ExitCode {
    adtally_service::serve(adtally_worker::run)
}
