//! From a command line to an exit code.

use std::io::{self, Write};
use std::process::ExitCode;

use adtally_service::{Shutdown, logging, report};
use tokio::task::LocalSet;

use crate::{Cli, Command, audit, completions, dev, import, load, migrate, stats};

/// Runs the command that `cli` names and tells how it ended.
///
/// One thread does it all: these commands wait for servers, and the HTTP client keeps to one thread.
#[must_use]
pub fn run(cli: Cli) -> ExitCode {
    logging::init_tool();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let result = match runtime {
        Ok(runtime) => {
            let result = LocalSet::new().block_on(&runtime, dispatch(cli.command));
            // A call that was given up may still wait for a server that never answers.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(error.into()),
    };
    report(result)
}

async fn dispatch(command: Command) -> anyhow::Result<()> {
    let mut out = io::stdout();
    let shutdown = Shutdown::on_signals()?;
    let result = match command {
        Command::Dev(args) => dev::run(&args, shutdown).await,
        Command::Migrate(args) => migrate::run(&args, &mut out).await,
        Command::Import(args) => import::run(&args, shutdown, &mut out).await,
        Command::Load(args) => load::run(&args, shutdown, &mut out).await,
        Command::Audit(args) => audit::run(&args, &mut out).await,
        Command::Stats(args) => stats::run(&args, &mut out).await,
        Command::Completions(args) => completions::run(&args, &mut out),
    };
    out.flush()?;
    result
}
