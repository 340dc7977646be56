//! The operator's tool: sets AdTally up, sends events to it, and checks what it counted.
//!
//! Each command is a module with its flags and a `run` that writes what it found to a writer, so
//! that everything but the terminal can be tested.

mod api;
mod audit;
mod broker;
mod cli;
mod completions;
mod database;
mod dead_letters;
mod dev;
mod import;
mod json;
mod load;
mod migrate;
mod multicall;
mod numbers;
mod partitions;
mod progress;
mod queues;
mod rebuild;
mod run;
mod stats;
mod tables;
mod tasks;
#[cfg(test)]
mod testing;
mod timezone;

pub use audit::AuditArgs;
pub use cli::{Cli, Command};
pub use completions::CompletionsArgs;
pub use dead_letters::DeadLettersArgs;
pub use dev::DevArgs;
pub use import::ImportArgs;
pub use load::{LoadArgs, Zipf};
pub use migrate::MigrateArgs;
pub use multicall::run_as_named;
pub use partitions::PartitionsArgs;
pub use rebuild::RebuildArgs;
pub use run::run;
pub use stats::StatsArgs;
pub use tasks::TasksArgs;
pub use timezone::TimezoneArgs;
