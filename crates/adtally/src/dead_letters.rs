//! `adtally dead-letters`: what could not be processed, and what is to become of it.

mod args;
mod change;
mod escape;
mod list;
mod purge;
mod show;
mod tally;
#[cfg(test)]
mod tests;

use std::io::Write;

use adtally_api::DeadLetterAction;
use adtally_service::Shutdown;

use crate::{broker, database};
pub use args::DeadLettersArgs;
use args::{DiscardArgs, RequeueArgs, Subcommand};
pub(crate) use escape::line;

/// Does what `args` say and writes what came of it.
///
/// # Errors
/// When a server is away, a time is none, there is no such letter, or not everything could be done.
pub(crate) async fn run(
    args: &DeadLettersArgs,
    stop: &Shutdown,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    match &args.command {
        Subcommand::List(args) => list::run(args, out).await,
        Subcommand::Show(args) => show::run(args, out).await,
        Subcommand::Requeue(args) => requeue(args, stop, out).await,
        Subcommand::Discard(args) => discard(args, stop, out).await,
        Subcommand::Purge(args) => purge::run(args, stop, out).await,
    }
}

async fn requeue(args: &RequeueArgs, stop: &Shutdown, out: &mut impl Write) -> anyhow::Result<()> {
    args.selection.check()?;
    // Before anything connects: a malformed address is told at once.
    args.broker.resolve()?;
    let store = database::open(&args.database).await?;
    let filter = args.selection.filter(&store).await?;
    let publisher = broker::publisher(&args.broker).await?;
    let action = DeadLetterAction::Requeue {
        publisher: publisher.clone(),
        again: args.again,
    };
    let changed = change::run(&store, filter, &action, stop, out).await;
    publisher.close().await;
    changed
}

async fn discard(args: &DiscardArgs, stop: &Shutdown, out: &mut impl Write) -> anyhow::Result<()> {
    args.selection.check()?;
    let store = database::open(&args.database).await?;
    let filter = args.selection.filter(&store).await?;
    change::run(&store, filter, &DeadLetterAction::Discard, stop, out).await
}
