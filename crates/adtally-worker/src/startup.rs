//! What must be true before a worker may take its first message.

use adtally_broker::Backoff;
use adtally_domain::ReportingZone;
use adtally_service::{Check, ExitKind, Failure};
use adtally_store::{Store, StoreError};

/// Waits until the database answers and has our tables, and claims the reporting zone.
///
/// # Errors
/// A configuration [`Failure`] for what no waiting mends, such as another zone than the stored one.
pub(crate) async fn database(
    store: &Store,
    asked: Option<ReportingZone>,
    check: &Check,
    backoff: &mut Backoff,
) -> Result<ReportingZone, Failure> {
    let mut told = None;
    loop {
        match store.claim_zone(asked).await {
            Ok(zone) => {
                check.ready();
                if told.is_some() {
                    log::info!("the database is back");
                }
                return Ok(zone);
            }
            Err(error) if error.is_transient() => {
                tell_once(&mut told, &error);
                check.not_ready(error.to_string());
            }
            Err(error) => {
                return Err(Failure {
                    kind: ExitKind::Configuration,
                    message: error.to_string(),
                });
            }
        }
        tokio::time::sleep(backoff.next_delay()).await;
    }
}

fn tell_once(told: &mut Option<String>, error: &StoreError) {
    let reason = error.to_string();
    if told.as_deref() != Some(reason.as_str()) {
        log::warn!("{reason}; trying again");
        *told = Some(reason);
    }
}
