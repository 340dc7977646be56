//! What can go wrong with a private server.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

/// Why a private server, or a process beside it, could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DevstackError {
    /// Server programs are not installed; `command` installs them.
    #[error(
        "{missing} not installed; install {} with: {command}",
        pronoun(missing)
    )]
    Missing {
        /// What is missing, with its verb: `PostgreSQL is`, `PostgreSQL and RabbitMQ are`.
        missing: String,
        /// The exact command that installs it.
        command: String,
    },
    /// The package manager could not install the server programs.
    #[error("{missing} could not be installed ({detail}); try it yourself: {command}")]
    InstallFailed {
        /// What is missing.
        missing: String,
        /// The exact command that installs it.
        command: String,
        /// The last words of the package manager.
        detail: String,
    },
    /// The servers of another Debian release could not be unpacked.
    #[error("the servers of {release} could not be unpacked: {detail}")]
    ReleaseFailed {
        /// The release, as `ADTALLY_TEST_SERVERS` names it.
        release: &'static str,
        /// The last words of the package manager.
        detail: String,
    },
    /// The tests are to use servers that nobody knows.
    #[error("there are no servers {0:?}; ADTALLY_TEST_SERVERS is debian12 or debian13")]
    UnknownRelease(String),
    /// Another running process uses the directory.
    #[error(
        "{} is in use by process {pid}; stop that one first or choose another directory",
        dir.display()
    )]
    DirectoryInUse {
        /// The directory.
        dir: PathBuf,
        /// The process id its lock file names, or `unknown`.
        pid: String,
    },
    /// Processes of an earlier run still work in the directory and would not end.
    #[error("{} is still in use by left-over processes {pids:?}; end them first", dir.display())]
    LeftOver {
        /// The directory.
        dir: PathBuf,
        /// Their process ids.
        pids: Vec<u32>,
    },
    /// A server ended before it was ready.
    #[error("{server} ended while starting ({status}); {} says: {excerpt}", log.display())]
    StartFailed {
        /// Which server.
        server: String,
        /// How it ended.
        status: ExitStatus,
        /// Its log file.
        log: PathBuf,
        /// What that says about it.
        excerpt: String,
        /// True when it ended because somebody else has its port.
        port_taken: bool,
    },
    /// A server was not ready in time.
    #[error("{server} was not ready within {waited:?}; {} says: {excerpt}", log.display())]
    StartTimedOut {
        /// Which server.
        server: String,
        /// How long it was waited for.
        waited: Duration,
        /// Its log file.
        log: PathBuf,
        /// What that says about it.
        excerpt: String,
    },
    /// A helper program (initdb, psql, rabbitmqctl) said no.
    #[error("{program} did not succeed: {detail}")]
    Program {
        /// The program's name.
        program: String,
        /// What it wrote to standard error, or how it ended.
        detail: String,
    },
    /// No free port was found below the range of outgoing connections.
    #[error("no free loopback port was found; end servers that are no longer needed")]
    NoFreePort,
    /// The operating system refused something.
    #[error("{what} {}: {source}", path.display())]
    Io {
        /// What was attempted.
        what: &'static str,
        /// With which file or directory.
        path: PathBuf,
        /// The refusal.
        source: io::Error,
    },
}

impl DevstackError {
    /// True when the cause is a server that is missing or can't be reached, as opposed to a
    /// mistake in what was asked. Callers exit with 69 then.
    pub fn is_unavailable(&self) -> bool {
        !matches!(self, Self::DirectoryInUse { .. } | Self::Io { .. })
    }

    /// True when a server did not start because somebody else has its port.
    pub(crate) fn is_port_taken(&self) -> bool {
        matches!(
            self,
            Self::StartFailed {
                port_taken: true,
                ..
            }
        )
    }

    /// What a program said, in one line; of other errors all there is to say.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Program { detail, .. } => detail.lines().collect::<Vec<_>>().join(" | "),
            other => other.to_string(),
        }
    }

    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }
}

fn pronoun(missing: &str) -> &'static str {
    if missing.ends_with(" are") {
        "them"
    } else {
        "it"
    }
}
