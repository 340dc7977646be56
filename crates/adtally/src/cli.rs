//! The command line.

use adtally_service::LogArgs;
use clap::{Parser, Subcommand};

use crate::{
    AuditArgs, CompletionsArgs, DeadLettersArgs, DevArgs, ImportArgs, LoadArgs, MigrateArgs,
    PartitionsArgs, RebuildArgs, StatsArgs, TasksArgs, TimezoneArgs,
};

const AFTER_HELP: &str = "\
Try it: adtally dev --demo
Exit codes: 0 done, 1 failed, 2 wrong usage, 69 a server is away, 78 wrong configuration";

/// Operates AdTally, which counts every ad impression and click exactly once.
#[derive(Debug, Parser)]
#[command(
    name = "adtally",
    version,
    propagate_version = true,
    max_term_width = 100,
    after_help = AFTER_HELP
)]
pub struct Cli {
    #[command(flatten)]
    pub(crate) log: LogArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the operator's tool can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start everything on this machine: servers, API, workers and beat
    Dev(Box<DevArgs>),
    /// Create or update the tables in PostgreSQL
    Migrate(MigrateArgs),
    /// Send events from a CSV or NDJSON file through the API
    Import(Box<ImportArgs>),
    /// Send generated events at a steady rate and measure the answers
    Load(Box<LoadArgs>),
    /// Check that hourly totals equal raw events and daily totals equal hourly ones
    Audit(Box<AuditArgs>),
    /// Show totals per hour or day
    Stats(Box<StatsArgs>),
    /// Make the totals of a range anew, hours from raw events and days from hours
    Rebuild(Box<RebuildArgs>),
    /// See the raw events of each day, and drop those of old days
    Partitions(Box<PartitionsArgs>),
    /// Report in another time zone
    Timezone(Box<TimezoneArgs>),
    /// See what could not be processed, put it back or give it up
    DeadLetters(Box<DeadLettersArgs>),
    /// See what became of tasks and run them once more
    Tasks(TasksArgs),
    /// Print a script that completes these commands in a shell
    Completions(CompletionsArgs),
}
