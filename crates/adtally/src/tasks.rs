//! `adtally tasks`: what became of tasks, and running one once more.

mod args;
mod list;
mod requeue;

use std::io::Write;

use args::Subcommand;
pub use args::TasksArgs;

/// Does what `args` say and writes what came of it.
///
/// # Errors
/// When a server is away, or not every task could be requeued.
pub(crate) async fn run(args: &TasksArgs, out: &mut impl Write) -> anyhow::Result<()> {
    match &args.command {
        Subcommand::List(args) => list::run(args, out).await,
        Subcommand::Requeue(args) => requeue::run(args, out).await,
    }
}
