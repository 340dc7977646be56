//! Observes the queues and the database at intervals, so that a scrape of the metrics asks no server.

use std::collections::HashMap;
use std::time::Duration;

use adtally_broker::{BrokerConfig, BrokerError, ConsumerSession};
use adtally_domain::ReportingZone;
use adtally_service::Shutdown;
use adtally_store::{Observation, Store, StoreError};
use tokio::time::Instant;

use crate::lateness::waiting_for_totals;
use crate::metrics::ObserverMetrics;

/// How often it observes: Prometheus scrapes every 15 seconds unless told otherwise.
const INTERVAL: Duration = Duration::from_secs(10);

/// Observes what no process sees on an event's way: queues, marks, letters, partitions.
pub(crate) struct Observer {
    pub(crate) store: Store,
    pub(crate) broker: BrokerConfig,
    pub(crate) metrics: ObserverMetrics,
    /// How long after its end an hour or day is due.
    pub(crate) delay: Duration,
}

/// What is kept from one observation to the next.
#[derive(Default)]
struct State {
    session: Option<ConsumerSession>,
    /// Since when a queue was not seen empty.
    filled_since: HashMap<String, Instant>,
    /// How long the oldest stored event has waited for its total.
    stored_wait: Duration,
}

impl Observer {
    /// Observes until `shutdown`. A server that is away leaves its gauges as they were.
    pub(crate) async fn run(self, shutdown: Shutdown) {
        let mut state = State::default();
        loop {
            tokio::select! {
                () = self.observe(&mut state) => {}
                () = shutdown.requested() => break,
            }
            if shutdown.requested_within(INTERVAL).await {
                break;
            }
        }
        if let Some(session) = state.session {
            session.close().await;
        }
    }

    async fn observe(&self, state: &mut State) {
        match self.observe_database().await {
            Ok((zone, seen)) => {
                state.stored_wait = waiting_for_totals(&zone, &seen);
                self.metrics.show(&zone, &seen, self.delay);
            }
            Err(error) => log::debug!("the database is not observed: {error}"),
        }
        if let Err(error) = self.observe_queues(state).await {
            log::debug!("the queues are not observed: {error}");
        }
        let topology = self.broker.topology();
        let tasks = topology.tasks_queue();
        let events = state
            .filled_since
            .iter()
            .filter(|(queue, _)| **queue != tasks);
        let queued = events.map(|(_, since)| since.elapsed()).max();
        let oldest = queued.unwrap_or_default().max(state.stored_wait);
        self.metrics.freshness.set(oldest.as_secs_f64());
    }

    async fn observe_database(&self) -> Result<(ReportingZone, Observation), StoreError> {
        let zone = self.store.zone().await?.unwrap_or(ReportingZone::UTC);
        Ok((zone, self.store.observe().await?))
    }

    /// A session that failed is not kept.
    async fn observe_queues(&self, state: &mut State) -> Result<(), BrokerError> {
        let session = match state.session.take() {
            Some(session) => session,
            None => ConsumerSession::connect(&self.broker).await?,
        };
        let topology = self.broker.topology();
        for queue in topology.consumed_queues() {
            let found = session.queue_state(&queue).await?;
            let waited = if found.messages == 0 {
                state.filled_since.remove(&queue);
                Duration::ZERO
            } else {
                let since = state.filled_since.entry(queue.clone());
                since.or_insert_with(Instant::now).elapsed()
            };
            self.metrics.queue(&queue, found, waited);
        }
        let retries = topology.events_retry_queues().into_iter();
        for queue in retries.chain(topology.retry_queues()) {
            let found = session.queue_state(&queue).await?;
            self.metrics.retry_queue(&queue, found.messages);
        }
        state.session = Some(session);
        self.metrics.queues_observed();
        Ok(())
    }
}
