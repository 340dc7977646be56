//! Everything that can fail, made to fail: after each fault every event is accounted for.
//!
//! The rows run against private servers, which are killed, frozen, filled and cut off for real.
//! `cargo test -p adtally-tests --test faults -- --long` lets faults last as long as they do in
//! life; without it they are short. `--list` names the rows, and part of a name selects some.
//! `-- soak --duration 30m --seed 7` draws faults at random for that long.
//!
//! Numbers are those of a list of all faults that a counter of ad events should survive.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "these are tests, which end by panicking and tell what they saw"
)]

mod disk;
mod ground;
mod hold;
mod hosts;
mod resolver;
mod rows;
mod shims;
mod soak;
mod stage;
mod wire;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use libtest_mimic::{Arguments, Trial};

use ground::Ground;

/// Puts AdTally through its faults.
#[derive(Parser)]
struct Options {
    /// Let faults last as long as they do in life
    #[arg(long)]
    long: bool,
    /// Draw the faults of the soak by this number; by the clock unless given
    #[arg(long)]
    seed: Option<u64>,
    /// How long the soak lasts, such as 30m
    #[arg(long, default_value = "2m", value_parser = adtally_domain::parse_age)]
    duration: Duration,
    /// Run only the rows of this file of `rows`; may be given several times
    #[arg(long, value_parser = rows::groups())]
    group: Vec<String>,
    #[command(flatten)]
    harness: Arguments,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let seed = options.seed.unwrap_or_else(rand::random);
    let ground = Arc::new(Ground::new(options.long, (seed, options.duration)));
    let trial = |row: rows::Row| {
        let ground = Arc::clone(&ground);
        Trial::test(row.name, move || {
            ground.run(&row);
            Ok(())
        })
    };
    let trials = rows::of(&options.group).into_iter().map(trial).collect();
    libtest_mimic::run(&options.harness, trials).exit_code()
}
