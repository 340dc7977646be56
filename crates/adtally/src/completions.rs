//! `adtally completions`: scripts that complete the commands in a shell.

use std::io::Write;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::Cli;

/// Print a script that completes these commands in a shell.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example:\n  adtally completions bash > /etc/bash_completion.d/adtally")]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Writes the script.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn run(args: &CompletionsArgs, out: &mut impl Write) -> anyhow::Result<()> {
    // Written at once: the generator panics when its writer fails.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "adtally", &mut script);
    out.write_all(&script)?;
    Ok(())
}
