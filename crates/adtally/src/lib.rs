//! The operator's tool: sets AdTally up, sends events to it, and checks what it counted.
//!
//! Each command is a module with its flags and a `run` that writes what it found to a writer, so
//! that everything but the terminal can be tested.

mod api;
mod cli;
mod dev;
mod import;
mod multicall;
mod numbers;
mod progress;
mod run;

pub use cli::{Cli, Command};
pub use dev::DevArgs;
pub use import::ImportArgs;
pub use multicall::run_as_named;
pub use run::run;
