//! One connection to the broker, and everything that consumes on it.

use std::sync::Arc;

use adtally_broker::{BrokerError, ConsumerSession};
use adtally_domain::ReportingZone;
use adtally_service::{Check, Shutdown};

use crate::consumers::{Consumer, Consumers};
use crate::database;
use crate::event_queue::EventQueue;
use crate::events::{EventConsumer, EventSink, UnsupportedPacks};
use crate::readiness::Checks;
use crate::stop_reason::StopReason;
use crate::tasks::{TaskConsumer, TaskContext};
use crate::worker::Worker;

/// A connection with its subscriptions.
pub(crate) struct Session {
    connection: Arc<ConsumerSession>,
    consumers: Vec<Consumer>,
    stop: Shutdown,
}

impl Session {
    /// Connects, and subscribes to every queue of a worker.
    pub(crate) async fn open(
        worker: &Worker,
        zone: ReportingZone,
        packs: &Check,
    ) -> Result<Self, BrokerError> {
        let connection = Arc::new(ConsumerSession::connect(&worker.config.broker).await?);
        let stop = Shutdown::manual();
        match consumers(worker, zone, &connection, packs, &stop).await {
            Ok(consumers) => Ok(Self {
                connection,
                consumers,
                stop,
            }),
            Err(error) => {
                connection.close().await;
                Err(error)
            }
        }
    }

    /// Consumes until `shutdown`, until one of the consumers stops or the database is lost. Then all of
    /// them finish what they have begun.
    pub(crate) async fn run(
        self,
        worker: &Worker,
        checks: &Checks,
        shutdown: &Shutdown,
    ) -> StopReason {
        checks.broker.ready();
        let mut consumers = Consumers::start(self.consumers, self.stop);
        let reason = tokio::select! {
            () = shutdown.requested() => StopReason::Requested,
            reason = consumers.first_stopped() => reason,
            error = database::lost(&worker.store, &checks.database) => error.into(),
        };
        checks.show(&reason);
        let reason = consumers.stop(reason).await;
        self.connection.close().await;
        reason
    }
}

/// Everything that consumes on `connection`, one consumer a subscription. They share `stop`.
async fn consumers(
    worker: &Worker,
    zone: ReportingZone,
    connection: &Arc<ConsumerSession>,
    packs: &Check,
    stop: &Shutdown,
) -> Result<Vec<Consumer>, BrokerError> {
    let config = &worker.config;
    let topology = config.broker.topology();
    let mut events = Vec::new();
    let queues = EventQueue::all(topology, config.store_connections.into(), config.yield_cpu);
    for queue in queues {
        let subscription = connection.subscribe(&queue.name, queue.prefetch()).await?;
        events.push((queue, subscription));
    }
    let tasks_queue = topology.tasks_queue();
    let tasks = connection
        .subscribe(&tasks_queue, config.concurrency)
        .await?;

    let mut consumers: Vec<Consumer> = Vec::new();
    let unsupported = UnsupportedPacks::new(packs.clone());
    let sink = EventSink {
        store: worker.store.clone(),
        publisher: worker.publisher.clone(),
        zone,
        metrics: worker.metrics.clone(),
        stop: stop.clone(),
    };
    for (queue, subscription) in events {
        let (sink, unsupported) = (sink.clone(), unsupported.clone());
        let consumer = EventConsumer::new(sink, unsupported, &queue, subscription);
        consumers.push(Box::pin(consumer.run()));
    }
    let context = TaskContext {
        store: worker.store.clone(),
        publisher: worker.publisher.clone(),
        connection: connection.clone(),
        tasks_queue,
        zone,
        worker: config.name.clone(),
    };
    let consumer = TaskConsumer::new(context, worker.metrics.clone());
    consumers.push(Box::pin(consumer.run(tasks, stop.clone())));
    Ok(consumers)
}
