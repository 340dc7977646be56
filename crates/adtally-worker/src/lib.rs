//! AdTally's worker: stores events and runs tasks. Any number of them may run.
//!
//! A worker takes messages only while the database answers, and acknowledges them only after what
//! they ask for is committed. So a worker may be killed at any point: what it had not finished is
//! delivered again, and what it had finished is recognised by its id.
//!
//! ```text
//!  supervisor ─▶ session ─▶ consumers: events (four queues), tasks
//!      │                        │
//!      └──── StopReason ◀───────┘
//! ```

mod args;
mod consumers;
mod cpu_throttle;
mod database;
mod dead_letters;
mod event_queue;
mod events;
mod metrics;
mod publish;
mod readiness;
mod reconnect_backoff;
mod refused_batch;
mod session;
mod stop_reason;
mod supervisor;
mod tasks;
#[cfg(test)]
mod testing;
mod worker;

use adtally_broker::{Publisher, PublisherOptions};
use adtally_service::metrics::Registry;
use adtally_service::{Health, HealthServer, Shutdown, check_open_files, watch_obstacles};
use adtally_store::Store;

pub use args::WorkerArgs;
use metrics::Metrics;
use worker::Worker;

/// Runs a worker until `shutdown`: then it stops taking messages, finishes those it has,
/// commits, acknowledges and leaves.
///
/// # Errors
/// A `Failure` for malformed configuration, another zone than the stored one, or a health address
/// that cannot be listened on. Servers that are away are waited for.
pub async fn run(args: WorkerArgs, shutdown: Shutdown) -> anyhow::Result<()> {
    let config = args.resolve()?;
    check_open_files(config.store.pool_size.into(), "--database-pool-size");
    let store = Store::connect(config.store.clone());
    let (health, registry) = (Health::new(), Registry::new());
    health.stopping_with(&shutdown);
    let server = HealthServer::start(config.health_bind, health.clone(), registry.clone())?;
    log::info!(
        "{} is up, health on http://{}",
        config.name,
        server.address()
    );

    let publisher = Publisher::start(config.broker.clone(), PublisherOptions::default());
    registry.show(publisher.metrics());
    registry.show(store.metrics());
    let metrics = Metrics::new(&registry, config.broker.topology());
    let worker = Worker {
        config,
        store,
        publisher,
        metrics,
    };
    let schema = health.check("schema");
    let watching = watch_obstacles(
        &schema,
        &shutdown,
        || worker.store.obstacle(),
        || worker.store.obstacle_found(),
    );
    let working = supervisor::run(&worker, &health, &shutdown);
    let result = tokio::select! {
        result = working => result,
        () = async { watching.await; std::future::pending().await } => Ok(()),
    };

    health.stopping();
    worker.publisher.close().await;
    server.stop().await;
    log::info!("{} has stopped", worker.config.name);
    result
}
