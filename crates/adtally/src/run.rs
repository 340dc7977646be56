//! From a command line to an exit code.

use std::io::{self, Write};
use std::process::ExitCode;

use adtally_service::{Shutdown, logging, report};
use anyhow::anyhow;
use tokio::task::LocalSet;

use crate::{
    Cli, Command, audit, completions, dead_letters, dev, import, load, migrate, partitions,
    rebuild, stats, tasks, timezone,
};

/// Runs the command that `cli` names and tells how it ended.
///
/// One thread does it all: these commands wait for servers, and the HTTP client keeps to one thread.
#[must_use]
pub fn run(cli: Cli) -> ExitCode {
    logging::init_tool(cli.log.log_format);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let result = match runtime {
        Ok(runtime) => {
            let result = LocalSet::new().block_on(&runtime, dispatch(cli));
            // A call that was given up may still wait for a server that never answers.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(error.into()),
    };
    report(result.or_else(unless_nobody_reads))
}

/// A reader that has seen enough, as `head` has, is no failure.
fn unless_nobody_reads(error: anyhow::Error) -> anyhow::Result<()> {
    let is_closed = |cause: &io::Error| cause.kind() == io::ErrorKind::BrokenPipe;
    if error.downcast_ref().is_some_and(is_closed) {
        return Ok(());
    }
    Err(error)
}

async fn dispatch(cli: Cli) -> anyhow::Result<()> {
    let mut out = io::stdout();
    let stop = Shutdown::on_signals()?;
    let result = match cli.command {
        Command::Dev(args) => dev::run(&args, cli.log.log_format, stop).await,
        Command::Migrate(args) => until(&stop, migrate::run(&args, &mut out)).await,
        Command::Import(args) => import::run(&args, stop, &mut out).await,
        Command::Load(args) => load::run(&args, stop, &mut out).await,
        Command::Audit(args) => until(&stop, audit::run(&args, &mut out)).await,
        Command::Stats(args) => until(&stop, stats::run(&args, &mut out)).await,
        Command::Rebuild(args) => rebuild::run(&args, &stop, &mut out).await,
        Command::Partitions(args) => partitions::run(&args, &stop, &mut out).await,
        Command::Timezone(args) => until(&stop, timezone::run(&args, &mut out)).await,
        Command::DeadLetters(args) => dead_letters::run(&args, &stop, &mut out).await,
        Command::Tasks(args) => until(&stop, tasks::run(&args, &mut out)).await,
        Command::Completions(args) => completions::run(&args, &mut out),
    };
    let flushed = out.flush();
    result?;
    Ok(flushed?)
}

/// Runs `work` until it is done or a request to `stop` breaks it off, which leaves nothing half done.
async fn until(
    stop: &Shutdown,
    work: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    tokio::select! {
        result = work => result,
        () = stop.requested() => Err(anyhow!("interrupted")),
    }
}
