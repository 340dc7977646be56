//! The server programs: where the distribution keeps them, and how to get them.

mod install;
mod release;
mod search;

use std::path::PathBuf;

use crate::DevstackError;
pub use release::Release;
use search::{Missing, Search};

/// Where the server programs are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerPrograms {
    /// The directory of `postgres`, `initdb` and `psql`.
    pub postgres_bin: PathBuf,
    /// The directory of `rabbitmq-server` and `rabbitmqctl`: the scripts themselves, not the
    /// wrappers in `/usr/sbin`, which only root and the user `rabbitmq` may run.
    pub rabbitmq_bin: PathBuf,
    /// Erlang's port mapper, which RabbitMQ needs; beside it is `erl`.
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
    found(install, Search::find).await
}

/// The server programs of a Debian release: the system's own where it is of that release, else
/// unpacked beside it from that release's packages, which takes Debian and a minute.
///
/// # Errors
/// As [`ensure`]; [`DevstackError::ReleaseFailed`] in apt's words.
pub async fn of_release(release: Release) -> Result<ServerPrograms, DevstackError> {
    of(release, Search::find).await
}

/// The program PgBouncer, installed first when that is allowed and possible.
///
/// # Errors
/// As [`ensure`].
pub async fn pgbouncer(install: Install) -> Result<PathBuf, DevstackError> {
    found(install, Search::pgbouncer).await
}

/// PgBouncer of a Debian release.
///
/// # Errors
/// As [`of_release`].
pub async fn pgbouncer_of_release(release: Release) -> Result<PathBuf, DevstackError> {
    of(release, Search::pgbouncer).await
}

/// Finds something in the usual places, perhaps after an installation.
async fn found<T>(
    install: Install,
    find: impl Fn(&Search) -> Result<T, Missing>,
) -> Result<T, DevstackError> {
    let search = Search::of_this_system();
    let missing = match find(&search) {
        Ok(found) => return Ok(found),
        Err(missing) => missing,
    };
    let (Install::Allowed, Some(privilege)) = (install, install::privilege().await) else {
        return Err(missing.error());
    };
    install::run(&missing, privilege).await?;
    find(&search).map_err(|missing| missing.error())
}

/// Finds something among a release's packages.
async fn of<T>(
    release: Release,
    find: impl Fn(&Search) -> Result<T, Missing>,
) -> Result<T, DevstackError> {
    if release.is_this_system() {
        return found(Install::Allowed, find).await;
    }
    let root = release.unpacked().await?;
    find(&Search::below(root)).map_err(|missing| missing.error())
}
