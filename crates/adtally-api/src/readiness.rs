//! Whether an event could be made durable now.

use std::time::Duration;

use adtally_broker::BrokerState;
use adtally_service::{Check, Health, Shutdown, watch_obstacles};
use adtally_store::Store;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::ingest::spool::Spool;

/// How often the spool is checked.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Ready while the broker takes messages, or the spool has room for those it does not take.
pub(crate) fn watch(
    state: watch::Receiver<BrokerState>,
    spool: Option<Spool>,
    health: &Health,
) -> impl Future<Output = ()> + use<> {
    let check = health.check("broker");
    async move {
        match spool {
            Some(spool) => watch_both(state, &spool, &check).await,
            None => watch_broker(state, &check).await,
        }
    }
}

/// Not ready while the database lacks what this build needs, so that an update that comes before its
/// migration stops at its first process. A database that is only away stops no event.
pub(crate) fn watch_schema(
    store: Store,
    shutdown: Shutdown,
    health: &Health,
) -> impl Future<Output = ()> + use<> {
    let check = health.check("schema");
    async move {
        watch_obstacles(
            &check,
            &shutdown,
            || store.obstacle(),
            || store.obstacle_found(),
        )
        .await;
    }
}

async fn watch_broker(mut state: watch::Receiver<BrokerState>, check: &Check) {
    loop {
        match &*state.borrow_and_update() {
            BrokerState::Open => check.ready(),
            other => check.not_ready(other.to_string()),
        }
        if state.changed().await.is_err() {
            return;
        }
    }
}

async fn watch_both(mut state: watch::Receiver<BrokerState>, spool: &Spool, check: &Check) {
    loop {
        spool.refresh();
        let broker = state.borrow_and_update().clone();
        match spool.unavailable_because() {
            Some(reason) if !broker.is_open() => {
                check.not_ready(format!("{broker}; {reason}"));
            }
            _ => check.ready(),
        }
        tokio::select! {
            () = sleep(CHECK_INTERVAL) => {}
            changed = state.changed() => if changed.is_err() { return },
        }
    }
}
