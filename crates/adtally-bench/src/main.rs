//! `adtally-bench`, and under other names the processes it measures.

use std::process::ExitCode;

fn main() -> ExitCode {
    adtally_bench::run_as_named().unwrap_or_else(adtally_bench::run)
}
