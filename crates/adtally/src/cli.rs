//! The command line.

use clap::{Parser, Subcommand};

use crate::dev::DevArgs;
use crate::import::ImportArgs;

/// Operates AdTally, which counts every ad impression and click exactly once.
#[derive(Debug, Parser)]
#[command(
    name = "adtally",
    version,
    propagate_version = true,
    max_term_width = 100
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the operator's tool can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start everything on this machine: servers, API, workers and beat
    Dev(Box<DevArgs>),
    /// Send events from a CSV or NDJSON file through the API
    Import(Box<ImportArgs>),
}
