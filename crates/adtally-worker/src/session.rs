//! The worker's life: database, broker, subscriptions, and round again when one of them ends.

use std::sync::Arc;
use std::time::Duration;

use adtally_broker::{
    Backoff, BrokerConfig, BrokerError, ConsumerSession, Publisher, Subscription,
};
use adtally_domain::ReportingZone;
use adtally_service::{Check, Health, Shutdown};
use adtally_store::{Store, StoreError};
use tokio::task::JoinSet;

use crate::events::{EventConsumer, NEWER_PACK_PAUSE};
use crate::metrics::Metrics;
use crate::startup;
use crate::tasks::{TaskConsumer, TaskContext};

/// Messages in hand for each queue of events: enough for the next batch to gather while one is
/// stored, and a bound on memory.
const EVENT_PREFETCH: u16 = 200;
/// The dead and unrouted queues are short or something is wrong; there is no hurry.
const RESCUE_PREFETCH: u16 = 20;

/// Why a consumer, or a whole session, ended.
#[derive(Debug)]
pub(crate) enum End {
    /// It was asked to.
    Stopped,
    /// The connection or a subscription ended.
    Broker(String),
    /// The database went away, or refuses to store.
    Database(StoreError),
    /// A pack of this version waits for a newer worker.
    NewerPack(u64),
}

/// A worker and what it works with.
pub(crate) struct Worker {
    pub(crate) name: String,
    pub(crate) store: Store,
    pub(crate) broker: BrokerConfig,
    pub(crate) publisher: Publisher,
    pub(crate) metrics: Metrics,
    pub(crate) concurrency: u16,
}

impl Worker {
    /// Works until `shutdown`.
    pub(crate) async fn run(
        &self,
        asked: Option<ReportingZone>,
        health: &Health,
        shutdown: &Shutdown,
    ) -> anyhow::Result<()> {
        let (database, broker) = (health.check("database"), health.check("broker"));
        let mut backoff = Backoff::default();
        while !shutdown.is_requested() {
            let zone = tokio::select! {
                zone = startup::database(&self.store, asked, &database, &mut backoff) => zone?,
                () = shutdown.requested() => break,
            };
            let session = tokio::select! {
                session = self.subscribe() => session,
                () = shutdown.requested() => break,
            };
            let end = match session {
                Ok(session) => {
                    broker.ready();
                    backoff.reset();
                    log::info!("subscribed, reporting in {zone}");
                    session.work(self, zone, shutdown).await
                }
                Err(error) => End::Broker(error.to_string()),
            };
            let pause = tell(&end, &database, &broker, &mut backoff);
            shutdown.requested_within(pause).await;
        }
        Ok(())
    }

    async fn subscribe(&self) -> Result<Session, BrokerError> {
        let session = ConsumerSession::connect(&self.broker).await?;
        let topology = self.broker.topology();
        let mut events = Vec::new();
        for (queue, prefetch) in [
            (topology.clicks_queue(), EVENT_PREFETCH),
            (topology.impressions_queue(), EVENT_PREFETCH),
            (topology.unrouted_queue(), RESCUE_PREFETCH),
            (topology.dead_queue(), RESCUE_PREFETCH),
        ] {
            events.push(session.subscribe(&queue, prefetch).await?);
        }
        let tasks = session
            .subscribe(&topology.tasks_queue(), self.concurrency)
            .await?;
        Ok(Session {
            session: Arc::new(session),
            events,
            tasks,
        })
    }
}

/// Says what happened and how long to wait before the next try.
fn tell(end: &End, database: &Check, broker: &Check, backoff: &mut Backoff) -> Duration {
    match end {
        End::Stopped => return Duration::ZERO,
        End::Broker(reason) => {
            log::warn!("not subscribed: {reason}; trying again");
            broker.not_ready(reason.clone());
        }
        End::Database(error) => {
            log::warn!("unsubscribed until the database can store again: {error}");
            database.not_ready(error.to_string());
        }
        End::NewerPack(version) => {
            let reason = format!("a pack of version {version} waits: upgrade this worker");
            log::error!("{reason}");
            broker.not_ready(reason);
            return NEWER_PACK_PAUSE;
        }
    }
    backoff.next_delay()
}

/// One connection and its subscriptions.
struct Session {
    session: Arc<ConsumerSession>,
    events: Vec<Subscription>,
    tasks: Subscription,
}

impl Session {
    /// Consumes until `shutdown` or until one of the consumers ends; then all of them finish what
    /// they have begun.
    async fn work(self, worker: &Worker, zone: ReportingZone, shutdown: &Shutdown) -> End {
        let stop = Shutdown::manual();
        let mut consumers = JoinSet::new();
        let topology = worker.broker.topology();
        let last_stops = [topology.dead_queue(), topology.unrouted_queue()];
        for subscription in self.events {
            let consumer = EventConsumer {
                store: worker.store.clone(),
                publisher: worker.publisher.clone(),
                zone,
                metrics: worker.metrics.clone(),
                is_last_stop: last_stops.iter().any(|queue| queue == subscription.queue()),
            };
            consumers.spawn(consumer.run(subscription, stop.clone()));
        }
        let context = TaskContext {
            store: worker.store.clone(),
            publisher: worker.publisher.clone(),
            session: self.session.clone(),
            tasks_queue: worker.broker.topology().tasks_queue(),
            zone,
            worker: worker.name.clone(),
        };
        let tasks = TaskConsumer::new(context, worker.metrics.clone());
        consumers.spawn(tasks.run(self.tasks, stop.clone()));

        let mut end = tokio::select! {
            () = shutdown.requested() => End::Stopped,
            ended = consumers.join_next() => end_of(ended),
        };
        stop.trigger();
        while let Some(ended) = consumers.join_next().await {
            // The first reason counts; the others follow from it, or are the stop just asked for.
            end = match (end, end_of(Some(ended))) {
                (End::Stopped, other) if !shutdown.is_requested() => other,
                (first, _) => first,
            };
        }
        if let Some(session) = Arc::into_inner(self.session) {
            session.close().await;
        }
        end
    }
}

fn end_of(ended: Option<Result<End, tokio::task::JoinError>>) -> End {
    match ended {
        Some(Ok(end)) => end,
        Some(Err(error)) => End::Broker(format!("a consumer failed: {error}")),
        None => End::Stopped,
    }
}
