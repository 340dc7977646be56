//! AdTally's worker: stores events and runs tasks. Any number of them may run.
//!
//! A worker takes messages only while the database answers, and acknowledges them only after what
//! they ask for is committed. So a worker may be killed at any point: what it had not finished is
//! delivered again, and what it had finished is recognised by its id.

mod args;
mod events;
mod metrics;
mod patience;
mod session;
mod startup;
mod tasks;
mod worker;

use adtally_broker::{BrokerConfig, Publisher, PublisherOptions};
use adtally_service::metrics::Registry;
use adtally_service::{
    ExitKind, Failure, Health, HealthServer, ResultExt, SecretUrl, Shutdown, check_open_files,
    watch_obstacles,
};
use adtally_store::{Store, StoreConfig};

pub use args::WorkerArgs;
use metrics::Metrics;
use worker::Worker;

/// Connections to the database that a worker always needs beside those of its tasks: one for each of
/// the dead and the unrouted queue, and one to see whether the database is there.
const OWN_CONNECTIONS: u32 = 3;
/// The queues whose batches may be stored several at a time: impressions and clicks.
const BUSY_QUEUES: u32 = 2;

/// Runs a worker until `shutdown`: then it stops taking messages, finishes those it has,
/// commits, acknowledges and leaves.
///
/// # Errors
/// A `Failure` for malformed configuration, another zone than the stored one, or a health address
/// that cannot be listened on. Servers that are away are waited for.
pub async fn run(args: WorkerArgs, shutdown: Shutdown) -> anyhow::Result<()> {
    let database = args.database.resolve()?;
    let broker = args.broker.resolve()?;
    let zone = args.zone.resolve()?;
    check_pool_size(database.pool_size, args.concurrency, args.store_connections)?;
    check_open_files(database.pool_size.into(), "--database-pool-size");
    let urls: Vec<_> = broker.urls.iter().map(SecretUrl::expose).collect();
    let name = format!("adtally-worker@{}.{}", hostname(), std::process::id());
    let config =
        BrokerConfig::new(&urls, &broker.prefix, &name).or_exit(ExitKind::Configuration)?;
    let store = Store::connect(StoreConfig {
        pool_size: database.pool_size,
        application_name: name.clone(),
        ..StoreConfig::new(database.url.expose())
    });

    let (health, registry) = (Health::new(), Registry::new());
    health.stopping_with(&shutdown);
    let server = HealthServer::start(args.health.health_bind, health.clone(), registry.clone())?;
    log::info!("{name} is up, health on http://{}", server.address());

    let publisher = Publisher::start(config.clone(), PublisherOptions::default());
    registry.show(publisher.metrics());
    registry.show(store.metrics());
    let worker = Worker {
        name,
        store,
        metrics: Metrics::new(&registry, config.topology()),
        broker: config,
        publisher: publisher.clone(),
        concurrency: args.concurrency,
        store_connections: args.store_connections.into(),
    };
    let schema = health.check("schema");
    let watching = watch_obstacles(
        &schema,
        &shutdown,
        || worker.store.obstacle(),
        || worker.store.obstacle_found(),
    );
    let working = worker.run(zone, &health, &shutdown);
    let result = tokio::select! {
        result = working => result,
        () = async { watching.await; std::future::pending().await } => Ok(()),
    };

    health.stopping();
    publisher.close().await;
    server.stop().await;
    log::info!("{} has stopped", worker.name);
    result
}

/// Makes sure that every part of a worker has a connection to the database when it needs one. With fewer
/// connections than users, who waits longest for one would take the database for lost.
fn check_pool_size(pool: u32, concurrency: u16, store_connections: u8) -> Result<(), Failure> {
    let needed =
        u32::from(concurrency) + OWN_CONNECTIONS + BUSY_QUEUES * u32::from(store_connections);
    if needed <= pool {
        return Ok(());
    }
    Err(Failure::configuration(format!(
        "--database-pool-size {pool} is too small: with --concurrency {concurrency} and \
         --store-connections {store_connections} it must be at least {needed}"
    )))
}

fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "localhost".to_owned(), |name| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_worker_has_a_connection() {
        check_pool_size(7, 2, 1).unwrap();
        check_pool_size(10, 2, 2).unwrap();
        check_pool_size(20, 2, 4).unwrap();
        check_pool_size(6, 2, 1).unwrap_err();
        let failure = check_pool_size(8, 4, 1).unwrap_err();
        assert_eq!(failure.kind, ExitKind::Configuration);
        assert!(failure.message.contains("at least 9"), "{failure}");
        let failure = check_pool_size(10, 2, 3).unwrap_err();
        assert!(failure.message.contains("at least 11"), "{failure}");
    }
}
