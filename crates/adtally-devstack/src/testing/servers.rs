//! Which servers the tests use.

use std::path::PathBuf;

use crate::packages::{self, Install, Release};
use crate::{DevstackError, ServerPrograms};

/// Of which Debian release the servers are; unset, the system's.
const SETTING: &str = "ADTALLY_TEST_SERVERS";

/// The server programs that `ADTALLY_TEST_SERVERS` asks for: `debian12`, `debian13`, or unset, those
/// of the system. What is missing is installed, or unpacked beside the system.
///
/// # Errors
/// The setting is unknown, or they cannot be had.
pub async fn programs() -> Result<ServerPrograms, DevstackError> {
    match release()? {
        Some(release) => packages::of_release(release).await,
        None => packages::ensure(Install::Allowed).await,
    }
}

/// The program PgBouncer that belongs to [`programs`].
///
/// # Errors
/// As there.
pub async fn pgbouncer() -> Result<PathBuf, DevstackError> {
    match release()? {
        Some(release) => packages::pgbouncer_of_release(release).await,
        None => packages::pgbouncer(Install::Allowed).await,
    }
}

fn release() -> Result<Option<Release>, DevstackError> {
    let setting = std::env::var(SETTING).ok().filter(|text| !text.is_empty());
    setting.map(|text| text.parse()).transpose()
}

#[cfg(test)]
mod tests;
