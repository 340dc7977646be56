//! Which zone's hours and days the API reports in.

use std::sync::OnceLock;
use std::time::Duration;

use adtally_domain::ReportingZone;
use adtally_service::{Failure, Shutdown};
use adtally_store::{Store, StoreError};

/// The deployment's zone: the stored one, else the one this process was started with.
#[derive(Debug)]
pub(crate) struct Zone {
    asked: Option<ReportingZone>,
    stored: OnceLock<ReportingZone>,
}

impl Zone {
    /// The zone of a process that was started with `asked`.
    pub(crate) fn new(asked: Option<ReportingZone>) -> Self {
        Self {
            asked,
            stored: OnceLock::new(),
        }
    }

    /// The zone to report in, by its stored name; UTC while none is stored.
    ///
    /// # Errors
    /// The store's transient ones, only while the zone is not known yet.
    pub(crate) async fn current(&self, store: &Store) -> Result<ReportingZone, StoreError> {
        if let Some(zone) = self.stored.get().copied().or(self.asked) {
            return Ok(zone);
        }
        match store.zone().await? {
            // A stored zone never changes again.
            Some(zone) => Ok(*self.stored.get_or_init(|| zone)),
            None => Ok(ReportingZone::UTC),
        }
    }

    /// Waits for the database's word on the zone this process was started with; returns at once
    /// when it was started with none.
    ///
    /// # Errors
    /// A configuration failure when the database belongs to another zone.
    pub(crate) async fn check(&self, store: &Store, shutdown: &Shutdown) -> Result<(), Failure> {
        let Some(asked) = self.asked else {
            return Ok(());
        };
        loop {
            match store.claim_zone(Some(asked)).await {
                // It may go by another name there.
                Ok(zone) => {
                    self.stored.get_or_init(|| zone);
                    return Ok(());
                }
                Err(error @ StoreError::ZoneMismatch { .. }) => {
                    return Err(Failure::configuration(format!("--timezone: {error}")));
                }
                // That the database is away is logged where the ads are read.
                Err(error) => log::debug!("the reporting zone is not checked yet: {error}"),
            }
            if shutdown.requested_within(Duration::from_secs(1)).await {
                return Ok(());
            }
        }
    }
}
