//! The API's life: start, serve, stop without losing an accepted event.

use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use adtally_broker::{Publisher, PublisherOptions};
use adtally_domain::Timestamp;
use adtally_service::metrics::Registry;
use adtally_service::{Health, Shutdown, accepted_connections, check_open_files, clock};
use adtally_store::Store;
use anyhow::Context as _;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::app_data::AppData;
use crate::args::{ApiArgs, Config};
use crate::http::listener::Listener;
use crate::http::middleware::HttpContext;
use crate::http::migrating_task::MigratingTask;
use crate::ingest::sink::{BrokerSink, EventSink, FallbackSink};
use crate::ingest::spool::Spool;
use crate::memory;
use crate::readiness;
use crate::server::{self, Bounds};

/// How long the broker may take to confirm an event that could go to the spool instead.
const BEFORE_SPOOLING: Duration = Duration::from_secs(2);

/// And one that comes from the spool. No client waits for it, and what is given up too early is sent
/// twice.
const REPLAY_DEADLINE: Duration = Duration::from_secs(30);

/// How long the first request on a connection that was accepted last may take to arrive.
const LAST_REQUESTS: Duration = Duration::from_millis(300);

/// How long browser events may take to be durable once the server has stopped.
const LAST_EVENTS: Duration = Duration::from_secs(10);

/// Runs the API until `shutdown` is requested, then finishes what it began: requests are answered,
/// and everything handed to the broker is confirmed or on disk.
///
/// The database and the broker may be away at start and at any time later.
///
/// # Errors
/// A failure with its exit code: malformed configuration, a spool directory that cannot be used,
/// another zone than the stored one or a database that wants TLS of a build without (78), an address
/// that cannot be listened on (69).
pub async fn run(args: ApiArgs, shutdown: Shutdown) -> anyhow::Result<()> {
    let config = args.resolve()?;
    check_limits(&config);
    let (health, registry) = (Health::new(), Registry::new());
    let store = Store::connect(config.store.clone());
    let spool = match &config.spool {
        Some(options) => Some(Spool::open(options, &registry, now)?),
        None => None,
    };
    // Before the broker is called: a connection that is being made outlives an early exit.
    let listener = Listener::open(config.bind)?;
    let (address, is_inherited) = (listener.address, listener.is_inherited);
    let options = publishing(spool.is_some());
    let (publisher, publishing) = Publisher::with_task(config.broker.clone(), options);
    registry.show(publisher.metrics());
    registry.show(store.metrics());
    health.show_in(&registry);
    let publisher_task = spawn_publisher(publishing, config.http_workers);
    let sink = sink(&publisher, spool.as_ref());
    let app = AppData::new(
        &config,
        address.ip(),
        store.clone(),
        publisher.clone(),
        sink,
        now,
        &registry,
    );
    let bounds = Bounds {
        workers: config.http_workers,
        connections: config.connections_per_worker,
    };
    // Their checks exist before the server can be asked for its readiness.
    let readiness = readiness::watch(publisher.state(), spool.clone(), &health);
    let schema = readiness::watch_schema(store.clone(), shutdown.clone(), &health);
    let bodies = app.bodies.memory().clone();
    let memory = memory::watch(bodies, publisher.clone(), &health, &registry);
    let server = server::serve(
        listener,
        &bounds,
        app.clone(),
        &health,
        &registry,
        publisher_task,
    );
    let server = match server {
        Ok(server) => server,
        Err(error) => {
            // A connection must end before its runtime does: its thread would panic.
            publisher.close().await;
            return Err(error.into());
        }
    };
    log::info!("listening on http://{address}");
    let handle = server.handle();
    let mut serving = tokio::spawn(server);
    let watching = [
        tokio::spawn(readiness),
        tokio::spawn(schema),
        tokio::spawn(memory),
    ];
    let replaying = spool
        .clone()
        .map(|spool| tokio::spawn(spool.replay(publisher.with_deadline(REPLAY_DEADLINE))));

    let ended = tokio::select! {
        result = &mut serving => result.context("the HTTP server failed").and_then(|end| Ok(end?)),
        () = shutdown.requested() => Ok(()),
        result = watch_database(&app, &shutdown) => result,
    };
    health.stopping();
    if ended.is_ok() && shutdown.is_requested() {
        drain(config.drain, &app.http, &handle, is_inherited).await;
    }
    shutdown.trigger();
    handle.stop(true).await;
    app.browser.queue.drain(LAST_EVENTS).await;
    if let Some(replaying) = replaying {
        replaying.abort();
    }
    publisher.close().await;
    if let Some(spool) = spool {
        // What the publisher could not finish is on its way there.
        app.browser.queue.drain(LAST_EVENTS).await;
        spool.close().await;
    }
    watching.iter().for_each(JoinHandle::abort);
    log::info!("stopped");
    ended
}

/// Warns when the system lets this process open fewer files than its connections need.
fn check_limits(config: &Config) {
    let connections = config.http_workers * accepted_connections(config.connections_per_worker);
    let all = connections as u64 + u64::from(config.store.pool_size);
    check_open_files(all, "--max-connections");
}

/// Serves on for `time`, while balancers and clients that keep connections look elsewhere. A client that
/// connects to an inherited socket afterwards waits for the next process.
async fn drain(time: Duration, http: &HttpContext, server: &ServerHandle, is_inherited: bool) {
    log::info!("not ready any more, serving for {} s", time.as_secs());
    http.start_draining();
    sleep(time).await;
    if is_inherited {
        server.pause().await;
        sleep(LAST_REQUESTS).await;
    }
}

/// Keeps the ads up to date until the end. It comes early when the database turns out to belong to another
/// zone, or to be out of this build's reach for good.
async fn watch_database(app: &AppData, shutdown: &Shutdown) -> anyhow::Result<()> {
    let watching = tokio::try_join!(
        app.reporting.zone.check(&app.store, shutdown),
        app.ads.keep_fresh(&app.store, shutdown),
    );
    Ok(watching.map(drop)?)
}

fn sink(publisher: &Publisher, spool: Option<&Spool>) -> Arc<dyn EventSink> {
    let publisher = publisher.clone();
    match spool {
        Some(spool) => Arc::new(FallbackSink::new(publisher, spool.clone())),
        None => Arc::new(BrokerSink::new(publisher)),
    }
}

/// Starts the publisher's task, unless it is to run on the only HTTP thread.
///
/// There it costs a request fewer thread switches, and it publishes when all ready requests have handed
/// over. With several HTTP threads, a long body on its own thread would hold up the requests of all.
fn spawn_publisher(
    task: impl Future<Output = ()> + Send + 'static,
    http_workers: usize,
) -> Option<MigratingTask> {
    if http_workers == 1 {
        return Some(MigratingTask::new(task, Handle::current()));
    }
    tokio::spawn(task);
    None
}

/// With a spool to fall back on, the broker gets less time.
fn publishing(has_spool: bool) -> PublisherOptions {
    let mut options = PublisherOptions::default();
    if has_spool {
        options.deadline = BEFORE_SPOOLING;
    }
    options
}

/// The time, to the millisecond; a clock set before 1970 reads as 1970.
fn now() -> Timestamp {
    Timestamp::try_from(clock::now()).unwrap_or(Timestamp::EPOCH)
}
