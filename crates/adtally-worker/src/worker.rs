//! The worker's life: database, broker, subscriptions, and round again when one of them ends.

use std::sync::Arc;
use std::time::Instant;

use adtally_broker::{BrokerConfig, BrokerError, ConsumerSession, Publisher, Subscription};
use adtally_domain::ReportingZone;
use adtally_service::{Check, Health, Shutdown};
use adtally_store::Store;

use crate::events::Full;
use crate::metrics::Metrics;
use crate::patience::Patience;
use crate::session::{End, EventQueue, Session};
use crate::startup;

/// Bytes of a full batch of impressions, some 54,000 events: each batch also costs the database a commit,
/// two small statements and what COPY sets up, however many events are in it.
const IMPRESSIONS_BYTES: usize = 6_656 * 1024;
/// The same of all other queues. Clicks are few, and what two busy queues take in memory adds up.
const OTHERS_BYTES: usize = 512 * 1024;
/// The dead and unrouted queues are short or something is wrong; there is no hurry.
const LAST_PREFETCH: u16 = 20;

/// A worker and what it works with.
pub(crate) struct Worker {
    pub(crate) name: String,
    pub(crate) store: Store,
    pub(crate) broker: BrokerConfig,
    pub(crate) publisher: Publisher,
    pub(crate) metrics: Metrics,
    pub(crate) concurrency: u16,
    pub(crate) store_connections: usize,
}

/// What the worker says of itself at `/readyz`.
pub(crate) struct Checks {
    health: Health,
    pub(crate) database: Check,
    pub(crate) broker: Check,
    pub(crate) packs: Check,
}

impl Checks {
    fn of(health: &Health) -> Self {
        Self {
            health: health.clone(),
            database: health.check("database"),
            broker: health.check("broker"),
            packs: health.check("packs"),
        }
    }

    /// Tells of a session's end as soon as it is known, before everything has come to rest.
    pub(crate) fn tell(&self, end: &End) {
        match end {
            End::Stopped => self.health.stopping(),
            End::Broker(reason) => self.broker.not_ready(reason.clone()),
            End::Database(error, _) => {
                self.database.not_ready(error.to_string());
                self.broker.not_ready("not subscribed");
            }
        }
    }
}

impl Worker {
    /// Works until `shutdown`.
    pub(crate) async fn run(
        &self,
        asked: Option<ReportingZone>,
        health: &Health,
        shutdown: &Shutdown,
    ) -> anyhow::Result<()> {
        let checks = Checks::of(health);
        let (mut patience, mut stalled) = (Patience::new(), None);
        while !shutdown.is_requested() {
            let database =
                startup::database(self, asked, &mut stalled, &checks.database, &mut patience);
            let zone = tokio::select! {
                zone = database => zone?,
                () = shutdown.requested() => break,
            };
            let session = tokio::select! {
                session = self.subscribe() => session,
                () = shutdown.requested() => break,
            };
            let subscribed = Instant::now();
            let end = match session {
                Ok(session) => {
                    log::info!("subscribed, reporting in {zone}");
                    patience.subscribed();
                    session.work(self, zone, &checks, shutdown).await
                }
                Err(error) => End::Broker(error.to_string()),
            };
            checks.tell(&end);
            patience.ended_after(subscribed.elapsed());
            let pause = match end {
                End::Stopped => break,
                End::Broker(reason) => {
                    patience.pause(format!("no messages are taken: {reason}; trying again"))
                }
                End::Database(error, batch) => {
                    stalled = batch;
                    patience.pause_for(&error)
                }
            };
            shutdown.requested_within(pause).await;
        }
        Ok(())
    }

    async fn subscribe(&self) -> Result<Session, BrokerError> {
        let connection = ConsumerSession::connect(&self.broker).await?;
        match self.subscribe_all(&connection).await {
            Ok((events, tasks)) => Ok(Session {
                connection: Arc::new(connection),
                events,
                tasks,
            }),
            Err(error) => {
                connection.close().await;
                Err(error)
            }
        }
    }

    async fn subscribe_all(
        &self,
        connection: &ConsumerSession,
    ) -> Result<(Vec<EventQueue>, Subscription), BrokerError> {
        let topology = self.broker.topology();
        let impressions = topology.impressions_queue();
        let mut events = Vec::new();
        for (queue, bytes, is_last) in [
            (topology.clicks_queue(), OTHERS_BYTES, false),
            (impressions.clone(), IMPRESSIONS_BYTES, false),
            (topology.unrouted_queue(), OTHERS_BYTES, true),
            (topology.dead_queue(), OTHERS_BYTES, true),
        ] {
            let full = Full::of_bytes(bytes);
            let prefetch = if is_last {
                LAST_PREFETCH
            } else {
                full.prefetch(self.store_connections)
            };
            events.push(EventQueue {
                subscription: connection.subscribe(&queue, prefetch).await?,
                full,
                is_last,
                // Clicks wait for nobody, nor does who asks for more than one connection.
                gives_way: queue == impressions && self.store_connections == 1,
            });
        }
        let tasks = topology.tasks_queue();
        let tasks = connection.subscribe(&tasks, self.concurrency).await?;
        Ok((events, tasks))
    }
}

#[cfg(test)]
mod tests {
    use adtally_store::StoreError;

    use super::*;

    #[test]
    fn a_worker_that_left_its_queues_is_ready_only_once_it_has_subscribed_again() {
        let health = Health::new();
        let checks = Checks::of(&health);
        for check in [&checks.database, &checks.broker, &checks.packs] {
            check.ready();
        }
        let away = StoreError::Unavailable("away".to_owned());
        checks.tell(&End::Database(away, None));
        checks.database.ready();
        assert!(!health.readiness().ready);
        checks.broker.ready();
        assert!(health.readiness().ready);
    }
}
