//! The server programs: where the distribution keeps them, and how to get them.

mod install;
mod search;

use std::path::PathBuf;

use crate::DevstackError;
use search::Search;

/// Where the server programs are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerPrograms {
    /// The directory of `postgres`, `initdb` and `psql`.
    pub postgres_bin: PathBuf,
    /// The directory of `rabbitmq-server` and `rabbitmqctl`: the scripts themselves, not the
    /// wrappers in `/usr/sbin`, which only root and the user `rabbitmq` may run.
    pub rabbitmq_bin: PathBuf,
    /// Erlang's port mapper, which RabbitMQ needs.
    pub epmd: PathBuf,
}

/// Whether missing programs may be installed with the system's package manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Install {
    /// On Debian and Ubuntu, as root or with passwordless `sudo`.
    Allowed,
    /// Never: what is missing is an error that names the command.
    Forbidden,
}

/// Finds the server programs, and installs them first when that is allowed and possible.
///
/// Installed services are not started, and none that was absent before is left enabled.
///
/// # Errors
/// [`DevstackError::Missing`] or [`DevstackError::InstallFailed`], with the exact command.
pub async fn ensure(install: Install) -> Result<ServerPrograms, DevstackError> {
    let missing = match find() {
        Ok(programs) => return Ok(programs),
        Err(missing) => missing,
    };
    let (Install::Allowed, Some(privilege)) = (install, install::privilege().await) else {
        return Err(missing.error());
    };
    install::run(&missing, privilege).await?;
    find().map_err(|missing| missing.error())
}

/// Finds the server programs in the usual places.
///
/// # Errors
/// What is missing.
pub(crate) fn find() -> Result<ServerPrograms, search::Missing> {
    Search::of_this_system().find()
}
