//! AdTally's beat: puts due periodic tasks on the queue.
//!
//! Any number of beats may run. Each slot is a row of `schedule_runs` that only one of them can insert,
//! its task has an id derived from the slot, and a slot that its beat could not send is sent by
//! another. So whatever happens to any of them, each slot has its effect once.

mod args;
mod beat;
mod lateness;
mod metrics;
mod observer;
mod outbox;

use std::time::Duration;

use adtally_broker::{BrokerConfig, Publisher, PublisherOptions};
use adtally_service::metrics::Registry;
use adtally_service::{
    ExitKind, Health, HealthServer, ResultExt, SecretUrl, Shutdown, check_open_files,
    watch_obstacles,
};
use adtally_store::{Store, StoreConfig};

pub use args::BeatArgs;
use beat::Beat;
use metrics::{Metrics, ObserverMetrics};
use observer::Observer;
use outbox::Outbox;

/// Beat's queries are small: a database that takes longer is as good as away.
const STORE_LIMIT: Duration = Duration::from_secs(15);

/// Runs beat until `shutdown`.
///
/// # Errors
/// A `Failure` for malformed configuration, another zone than the stored one, or a health address
/// that cannot be listened on. Servers that are away are waited for.
pub async fn run(args: BeatArgs, shutdown: Shutdown) -> anyhow::Result<()> {
    let database = args.database.resolve()?;
    let broker = args.broker.resolve()?;
    let asked = args.zone.resolve()?;
    check_open_files(database.pool_size.into(), "--database-pool-size");
    let urls: Vec<_> = broker.urls.iter().map(SecretUrl::expose).collect();
    let broker = BrokerConfig::new(&urls, &broker.prefix, "adtally-beat")
        .or_exit(ExitKind::Configuration)?;
    let store = Store::connect(StoreConfig {
        pool_size: database.pool_size,
        call_timeout: STORE_LIMIT,
        application_name: "adtally-beat".to_owned(),
        ..StoreConfig::new(database.url.expose())
    });

    let (health, registry) = (Health::new(), Registry::new());
    health.stopping_with(&shutdown);
    let server = HealthServer::start(args.health.health_bind, health.clone(), registry.clone())?;
    log::info!("beat is up, health on http://{}", server.address());

    let publisher = Publisher::start(broker.clone(), PublisherOptions::default());
    registry.show(publisher.metrics());
    registry.show(store.metrics());
    let observer = Observer {
        store: store.clone(),
        metrics: ObserverMetrics::new(&registry, broker.topology()),
        broker,
        delay: args.delay,
    };
    let observing = tokio::spawn(observer.run(shutdown.clone()));
    let beat = Beat {
        outbox: Outbox::new(store.clone(), publisher.clone(), args.delay),
        health: health.clone(),
        metrics: Metrics::new(&registry),
        broker: publisher.state(),
    };
    let schema = health.check("schema");
    let watching = watch_obstacles(
        &schema,
        &shutdown,
        || store.obstacle(),
        || store.obstacle_found(),
    );
    let result = tokio::select! {
        result = beat.run(asked, &shutdown) => result,
        () = async { watching.await; std::future::pending().await } => Ok(()),
    };

    health.stopping();
    shutdown.trigger();
    // It ends by itself unless it panicked, which the log tells.
    let _ended = observing.await;
    publisher.close().await;
    server.stop().await;
    log::info!("beat has stopped");
    result
}
