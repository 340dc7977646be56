//! The API's life: start, serve, stop without losing an accepted event.

use std::sync::Arc;
use std::time::Duration;

use actix_web::web::Data;
use adtally_broker::{BrokerState, Publisher, PublisherOptions};
use adtally_domain::Timestamp;
use adtally_service::metrics::Registry;
use adtally_service::{Check, Health, Shutdown, clock};
use adtally_store::Store;
use anyhow::Context as _;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::args::{ApiArgs, Config};
use crate::body::BodyReader;
use crate::browser::BrowserEvents;
use crate::context::Context;
use crate::descriptors;
use crate::directory::{self, Directory};
use crate::keeper::{BrokerKeeper, Keeper};
use crate::metrics::Metrics;
use crate::server::{self, Bounds};
use crate::zone::Zone;

/// How long a body may take to arrive.
const BODY_DEADLINE: Duration = Duration::from_secs(15);

/// Bytes that all bodies being read or judged may hold at once.
const BODY_ALLOWANCE: usize = 256 * 1_024 * 1_024;

/// How long browser events may take to be kept once the server has stopped.
const DRAIN: Duration = Duration::from_secs(10);

/// Runs the API until `shutdown` is requested, then finishes what it began: requests are answered,
/// and everything handed to the broker is confirmed.
///
/// The database and the broker may be away at start and at any time later.
///
/// # Errors
/// A failure with its exit code: malformed configuration or another zone than the stored one (78),
/// an address that cannot be listened on (69).
pub async fn run(args: ApiArgs, shutdown: Shutdown) -> anyhow::Result<()> {
    let config = args.resolve()?;
    descriptors::allow(config.http_workers * config.connections_per_worker);
    let (health, registry) = (Health::new(), Registry::new());
    let store = Store::connect(config.store.clone());
    let zone = Arc::new(Zone::new(config.zone));
    let directory = Arc::new(Directory::default());
    let publisher = Publisher::start(config.broker.clone(), PublisherOptions::default());
    let context = Data::new(context(
        &config, &publisher, &store, &zone, &directory, &registry,
    ));
    let bounds = Bounds {
        bind: config.bind,
        workers: config.http_workers,
        connections: config.connections_per_worker,
    };
    let (server, addresses) = server::serve(&bounds, context.clone(), &health, &registry)?;
    for address in addresses {
        log::info!("listening on http://{address}");
    }
    let handle = server.handle();
    let mut serving = tokio::spawn(server);
    let watching = tokio::spawn(watch_broker(publisher.state(), health.check("broker")));
    let refreshing = tokio::spawn({
        let (store, shutdown) = (store.clone(), shutdown.clone());
        async move { directory::keep_fresh(&directory, &store, &shutdown).await }
    });

    let ended = tokio::select! {
        result = &mut serving => result.context("the HTTP server failed").and_then(|end| Ok(end?)),
        result = until_stopped(&zone, &store, &shutdown) => result,
    };
    health.stopping();
    shutdown.trigger();
    handle.stop(true).await;
    context.browser_events.drained(DRAIN).await;
    publisher.close().await;
    watching.abort();
    refreshing.abort();
    log::info!("stopped");
    ended
}

/// Waits for the request to stop, or for the news that this database belongs to another zone.
async fn until_stopped(zone: &Zone, store: &Store, shutdown: &Shutdown) -> anyhow::Result<()> {
    zone.check(store, shutdown).await?;
    shutdown.requested().await;
    Ok(())
}

fn context(
    config: &Config,
    publisher: &Publisher,
    store: &Store,
    zone: &Arc<Zone>,
    directory: &Arc<Directory>,
    registry: &Registry,
) -> Context {
    let metrics = Metrics::new(registry);
    let keeper: Arc<dyn Keeper> = Arc::new(BrokerKeeper::new(publisher.clone()));
    Context {
        intake: config.intake,
        keeper: Arc::clone(&keeper),
        browser_events: BrowserEvents::new(keeper, metrics.clone(), Handle::current()),
        bodies: BodyReader::new(BODY_ALLOWANCE, BODY_DEADLINE),
        directory: Arc::clone(directory),
        store: store.clone(),
        zone: Arc::clone(zone),
        final_after: config.final_after,
        trusted_proxies: config.trusted_proxies,
        metrics,
        clock: now,
    }
}

/// The time, to the millisecond; a clock set before 1970 reads as 1970.
fn now() -> Timestamp {
    Timestamp::try_from(clock::now()).unwrap_or(Timestamp::EPOCH)
}

/// An event can be kept while the broker takes messages.
async fn watch_broker(mut state: watch::Receiver<BrokerState>, check: Check) {
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
