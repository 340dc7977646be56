//! The database of a command that does one thing and ends.

#[cfg(test)]
pub(crate) mod tests;

use std::time::Duration;

use adtally_domain::ReportingZone;
use adtally_service::{DatabaseArgs, ExitKind, Failure};
use adtally_store::{Store, StoreConfig, StoreError};

/// How long a database that is away may keep a command waiting.
const REACH_TIMEOUT: Duration = Duration::from_secs(9);

/// The database that `args` name, once it answers.
///
/// # Errors
/// A [`Failure`] when the address is malformed or nothing answers there within 9 seconds.
pub(crate) async fn open(args: &DatabaseArgs) -> Result<Store, Failure> {
    let database = args.resolve()?;
    let mut config = StoreConfig::new(database.url.expose());
    config.pool_size = 2;
    config.application_name = "adtally".to_owned();
    let store = Store::connect(config);
    let away = |reason: &str| {
        Failure::unavailable(format!(
            "the database at {} does not answer ({reason}): start it, or name another with \
             --database-url",
            database.url
        ))
    };
    match tokio::time::timeout(REACH_TIMEOUT, store.ping()).await {
        Ok(Ok(())) => Ok(store),
        Ok(Err(StoreError::Unavailable(reason))) => Err(away(&reason)),
        Ok(Err(error)) => Err(failure(error)),
        Err(_) => Err(away(&format!("waited {} s", REACH_TIMEOUT.as_secs()))),
    }
}

/// The failure of a command whose call of the store failed.
pub(crate) fn failure(error: StoreError) -> Failure {
    let kind = match &error {
        StoreError::Unavailable(_)
        | StoreError::ConnectionLost(_)
        | StoreError::AuthenticationFailed(_) => ExitKind::Unavailable,
        StoreError::NoTls | StoreError::Unsuitable(_) | StoreError::ZoneMismatch { .. } => {
            ExitKind::Configuration
        }
        _ => ExitKind::Failure,
    };
    Failure {
        kind,
        message: error.to_string(),
    }
}

/// The zone that `store` reports in; UTC while nobody has chosen one.
///
/// # Errors
/// A [`Failure`] when the database goes away or has no tables.
pub(crate) async fn zone(store: &Store) -> Result<ReportingZone, Failure> {
    let zone = store.zone().await.map_err(failure)?;
    Ok(zone.unwrap_or(ReportingZone::UTC))
}
