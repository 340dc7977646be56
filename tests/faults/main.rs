//! Everything that can fail, made to fail: after each fault every event is accounted for.
//!
//! The rows run against private servers, which are killed, frozen, filled and cut off for real.
//! `cargo test -p adtally-tests --test faults -- --long` lets faults last as long as they do in
//! life; without it they are short. `--list` names the rows, and part of a name selects some.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "these are tests, which end by panicking and tell what they saw"
)]

mod clock;
mod ground;
mod hold;
mod rows;
mod stage;
mod wire;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use libtest_mimic::{Arguments, Trial};

use ground::Ground;

/// Puts AdTally through its faults.
#[derive(Parser)]
struct Options {
    /// Let faults last as long as they do in life
    #[arg(long)]
    long: bool,
    #[command(flatten)]
    harness: Arguments,
}

fn main() -> ExitCode {
    let Options { long, harness } = Options::parse();
    let ground = Arc::new(Ground::new(long));
    let trial = |row: rows::Row| {
        let ground = Arc::clone(&ground);
        Trial::test(row.name, move || {
            ground.run(&row);
            Ok(())
        })
    };
    let trials = rows::all().into_iter().map(trial).collect();
    libtest_mimic::run(&harness, trials).exit_code()
}
