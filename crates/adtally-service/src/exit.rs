//! From an error to one line and an exit code.

use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args as _, FromArgMatches as _, Parser};
use thiserror::Error;

use crate::logging::{self, LAST_LINES, LogArgs};
use crate::secret::redact;
use crate::{Shutdown, rlimit};

/// Why a process ends, as its exit code tells (the numbers above 64 are those of sysexits.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitKind {
    /// Anything that failed: 1.
    Failure,
    /// A command line that makes no sense: 2, as clap uses it.
    Usage,
    /// A server is missing or does not answer: 69.
    Unavailable,
    /// The configuration is malformed or contradicts what is stored: 78.
    Configuration,
}

impl ExitKind {
    /// The exit code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Failure => 1,
            Self::Usage => 2,
            Self::Unavailable => 69,
            Self::Configuration => 78,
        }
    }
}

/// An error that knows its exit code. The message says what happened, to what, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct Failure {
    /// How the process ends.
    pub kind: ExitKind,
    /// One line for the person who started the process.
    pub message: String,
}

impl Failure {
    /// The configuration is malformed or contradicts what is stored.
    pub fn configuration(message: impl Into<String>) -> Self {
        Self {
            kind: ExitKind::Configuration,
            message: message.into(),
        }
    }

    /// A server is missing or does not answer.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self {
            kind: ExitKind::Unavailable,
            message: message.into(),
        }
    }

    /// The command line makes no sense, in a way its parser could not see.
    pub fn usage(message: impl Into<String>) -> Self {
        Self {
            kind: ExitKind::Usage,
            message: message.into(),
        }
    }
}

/// Gives an error its exit code.
pub trait ResultExt<T> {
    /// Ends the process with `kind` should this error reach the top.
    ///
    /// # Errors
    /// The same error as a [`Failure`], its causes joined by colons.
    fn or_exit(self, kind: ExitKind) -> Result<T, Failure>;
}

impl<T, E: fmt::Display> ResultExt<T> for Result<T, E> {
    fn or_exit(self, kind: ExitKind) -> Result<T, Failure> {
        self.map_err(|error| Failure {
            kind,
            message: format!("{error:#}"),
        })
    }
}

/// The exit code of `error`: that of the [`Failure`] in its chain, else 1.
#[must_use]
fn kind_of(error: &anyhow::Error) -> ExitKind {
    let failure = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<Failure>());
    failure.map_or(ExitKind::Failure, |failure| failure.kind)
}

/// Ends a process: nothing on success, else one line on standard error, and the exit code.
#[must_use]
pub fn report(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let line = redact(&format!("{error:#}")).replace(['\n', '\r'], " ");
            logging::last_words(&line);
            ExitCode::from(kind_of(&error).code())
        }
    }
}

/// How long work that was handed to other threads may hold up the end of a process.
const LAST_MOMENT: Duration = Duration::from_secs(2);

/// Runs a process on a new multi-threaded runtime and reports how it ended.
///
/// What was still running on other threads then, say a query that no server answers, is given two
/// seconds and left.
#[must_use]
pub fn run_main(process: impl Future<Output = anyhow::Result<()>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => {
            let code = report(runtime.block_on(process));
            runtime.shutdown_timeout(LAST_MOMENT);
            code
        }
        Err(error) => report(Err(error.into())),
    }
}

/// The whole of a serving process: reads the command line, starts the log, runs `process` until
/// SIGTERM or SIGINT, and tells how it ended.
#[must_use]
pub fn serve<Args: Parser, Process: Future<Output = anyhow::Result<()>>>(
    process: impl FnOnce(Args, Shutdown) -> Process,
) -> ExitCode {
    let (args, log) = parse::<Args>();
    logging::init(log.log_format);
    rlimit::raise_open_files();
    let code = run_main(async { process(args, Shutdown::on_signals()?).await });
    logging::flush(LAST_LINES);
    code
}

/// Reads a process's own flags, and those of the log, which all processes have.
fn parse<Own: Parser>() -> (Own, LogArgs) {
    let own = Own::command();
    let about = own.get_about().cloned().unwrap_or_default();
    let matches = LogArgs::augment_args(own).about(about).get_matches();
    let parsed = Own::from_arg_matches(&matches)
        .and_then(|own| Ok((own, LogArgs::from_arg_matches(&matches)?)));
    parsed.unwrap_or_else(|error| error.exit())
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn a_failure_anywhere_in_the_chain_decides_the_code() {
        let error = Err::<(), _>(Failure::configuration("bad zone"))
            .context("starting")
            .unwrap_err();
        assert_eq!(kind_of(&error).code(), 78);
        assert_eq!(kind_of(&anyhow::anyhow!("anything else")).code(), 1);
        let error = Err::<(), _>("refused")
            .or_exit(ExitKind::Unavailable)
            .unwrap_err();
        assert_eq!(kind_of(&error.into()).code(), 69);
    }

    #[test]
    fn a_query_that_is_never_answered_does_not_hold_up_the_end() {
        let (release, blocked) = std::sync::mpsc::channel::<()>();
        let started = std::time::Instant::now();
        let code = run_main(async move {
            tokio::task::spawn_blocking(move || blocked.recv());
            Ok(())
        });
        assert!(started.elapsed() < Duration::from_secs(30));
        assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::SUCCESS));
        drop(release);
    }
}
