//! The flags of `adtally tasks`.

use adtally_service::{BrokerArgs, DatabaseArgs, switch};
use clap::{Args, ValueEnum};
use uuid::Uuid;

const EXAMPLES: &str = "\
Examples:
  adtally tasks list --state discarded
  adtally tasks list --name adtally.aggregate_hour --limit 20
  adtally tasks requeue 01a201d7-0b7b-88c2-a977-29f3687d4dae

A task has its effect once: what was done does not run again unless it is requeued here. A task that was
given up has a dead letter, which is requeued with it. Roll-ups may always run again.";

/// See what became of tasks and run them once more.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub struct TasksArgs {
    #[command(subcommand)]
    pub(super) command: Subcommand,
}

/// What to do with tasks.
#[derive(Debug, Clone, clap::Subcommand)]
pub(super) enum Subcommand {
    /// List tasks, those begun last first
    List(ListArgs),
    /// Put tasks that are done or were given up back on their queue
    Requeue(RequeueArgs),
}

/// The flags of `adtally tasks list`.
#[derive(Debug, Clone, Args)]
pub(super) struct ListArgs {
    /// Only tasks in this state
    #[arg(long, env = "ADTALLY_TASKS_STATE", value_enum, value_name = "STATE")]
    pub(super) state: Option<State>,
    /// Only tasks with this name, such as adtally.aggregate_hour
    #[arg(long, env = "ADTALLY_TASKS_NAME", value_name = "NAME")]
    pub(super) name: Option<String>,
    /// The most tasks to show
    #[arg(long, env = "ADTALLY_TASKS_LIMIT", value_name = "N", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(super) limit: u32,
    /// Print one JSON document instead of a table
    #[arg(long, env = "ADTALLY_TASKS_JSON", value_parser = switch)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) database: DatabaseArgs,
}

/// The flags of `adtally tasks requeue`.
#[derive(Debug, Clone, Args)]
pub(super) struct RequeueArgs {
    /// The tasks' ids
    #[arg(value_name = "ID", required = true)]
    pub(super) ids: Vec<Uuid>,
    #[command(flatten)]
    pub(super) database: DatabaseArgs,
    #[command(flatten)]
    pub(super) broker: BrokerArgs,
}

/// What became of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum State {
    /// A worker has begun it.
    Running,
    /// It failed and runs again.
    Retrying,
    /// It is done.
    Succeeded,
    /// It was given up.
    Discarded,
    /// An operator put it back.
    Requeued,
}

impl State {
    /// Its name in the database.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::Succeeded => "succeeded",
            Self::Discarded => "discarded",
            Self::Requeued => "requeued",
        }
    }
}
