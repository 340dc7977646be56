//! The worker's life: wait for the database, subscribe, consume, and again when one of them ends.
//!
//! ```text
//!  database::wait_until_usable ──▶ Session::open ──▶ Session::run ──▶ StopReason
//!           ▲                                                            │
//!           └──────────────────── ReconnectBackoff ◀─────────────────────┘
//! ```

use std::time::Instant;

use adtally_service::{Health, Shutdown};

use crate::database;
use crate::readiness::Checks;
use crate::reconnect_backoff::ReconnectBackoff;
use crate::session::Session;
use crate::stop_reason::StopReason;
use crate::worker::Worker;

/// Works until `shutdown`.
///
/// # Errors
/// A configuration failure that only the database can tell, such as another zone than the stored one.
pub(crate) async fn run(
    worker: &Worker,
    health: &Health,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    let Worker {
        config,
        store,
        metrics,
        ..
    } = worker;
    let checks = Checks::new(health);
    let (mut backoff, mut refused) = (ReconnectBackoff::new(), None);
    while !shutdown.is_requested() {
        let asked = config.zone;
        let usable = database::wait_until_usable(
            store,
            metrics,
            asked,
            &mut refused,
            &checks.database,
            &mut backoff,
        );
        let zone = tokio::select! {
            zone = usable => zone?,
            () = shutdown.requested() => break,
        };
        let session = tokio::select! {
            session = Session::open(worker, zone, &checks.packs) => session,
            () = shutdown.requested() => break,
        };
        let subscribed = Instant::now();
        let reason = match session {
            Ok(session) => {
                log::info!("subscribed, reporting in {zone}");
                backoff.subscribed();
                session.run(worker, &checks, shutdown).await
            }
            Err(error) => error.into(),
        };
        checks.show(&reason);
        backoff.session_ended(subscribed.elapsed());
        let delay = match reason {
            StopReason::Requested => break,
            StopReason::Broker(trouble) => {
                backoff.next_delay(format!("no messages are taken: {trouble}; trying again"))
            }
            StopReason::Database(error, batch) => {
                refused = batch;
                backoff.next_delay_for(&error)
            }
        };
        shutdown.requested_within(delay).await;
    }
    Ok(())
}
