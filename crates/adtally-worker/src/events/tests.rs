//! Storing events, on real servers.

mod batcher;
mod batches;
mod poison;
mod unsent;

use std::time::Duration;

use adtally_broker::{
    BrokerConfig, ConsumerSession, Publisher, PublisherOptions, Subscription, ack_all,
};
use adtally_domain::{AdId, Event, EventId, ReportingZone};
use adtally_service::metrics::Registry;
use adtally_service::{Health, Shutdown};
use adtally_store::EventBatch;

use super::batch::BatchBuilder;
use super::sink::QUICK_TRIES;
use super::*;
use crate::dead_letters::letter_of_message;
use crate::event_queue::{BatchLimits, MANY, QueueRole};
use crate::metrics::Metrics;
use crate::testing::{LIMIT, TestServers, click, next};

const STORED: &str = "SELECT EXISTS (SELECT FROM events)";
const LETTERS: &str = "SELECT count(*) FROM dead_letters";

/// Works on the dead queue until the consumer stops by itself, or `sql` answers `t`.
async fn work_until(servers: &TestServers, sql: &str) -> StopReason {
    let dead = servers.broker.topology().dead_queue();
    work_on(servers, &dead, servers.publisher.clone(), sql).await
}

/// Works on `queue` likewise.
async fn work_on(
    servers: &TestServers,
    queue: &str,
    publisher: Publisher,
    sql: &str,
) -> StopReason {
    let (session, subscription) = servers.subscribe(queue).await;
    let stop = Shutdown::manual();
    let consumer = consumer(servers, queue, publisher, subscription, &stop);
    let watch = async {
        servers.until(sql).await;
        stop.trigger();
        std::future::pending().await
    };
    let work = async {
        tokio::select! {
            reason = consumer.run() => reason,
            reason = watch => reason,
        }
    };
    let reason = tokio::time::timeout(LIMIT, work).await;
    session.close().await;
    reason.expect("it ends")
}

fn consumer(
    servers: &TestServers,
    queue: &str,
    publisher: Publisher,
    subscription: Subscription,
    stop: &Shutdown,
) -> EventConsumer {
    let topology = servers.broker.topology();
    let sink = EventSink {
        store: servers.store.clone(),
        publisher,
        zone: ReportingZone::UTC,
        metrics: Metrics::new(&Registry::new(), topology),
        stop: stop.clone(),
    };
    let role = if queue == topology.dead_queue() {
        QueueRole::DeadLetter
    } else {
        QueueRole::Live
    };
    let queue = EventQueue {
        name: queue.to_owned(),
        role,
        limits: BatchLimits::of_bytes(1),
        concurrency: 1,
        yields_cpu: true,
    };
    let unsupported = UnsupportedPacks::new(Health::new().check("packs"));
    EventConsumer::new(sink, unsupported, &queue, subscription)
}
