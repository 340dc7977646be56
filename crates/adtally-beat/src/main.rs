//! `adtally-beat`: AdTally's beat as a process.

use std::process::ExitCode;

fn main() -> ExitCode {
    adtally_service::serve(adtally_beat::run)
}
