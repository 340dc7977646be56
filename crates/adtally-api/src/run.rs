//! The API's life: start, serve, stop without losing an accepted event.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::web::Data;
use adtally_broker::{Publisher, PublisherOptions};
use adtally_domain::Timestamp;
use adtally_service::metrics::Registry;
use adtally_service::{Health, Shutdown, accepted_connections, check_open_files, clock};
use adtally_store::Store;
use anyhow::Context as _;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::args::{ApiArgs, Config};
use crate::context::Context;
use crate::directory::{self, Directory};
use crate::http::body::{BodyMemory, BodyReader};
use crate::http::listener::Listener;
use crate::http::migrating_task::MigratingTask;
use crate::http::origin::AllowedHosts;
use crate::ingest::browser_queue::BrowserEvents;
use crate::ingest::large_bodies::LargeBodyPool;
use crate::ingest::sink::{BrokerSink, EventSink, FallbackSink};
use crate::ingest::spool::Spool;
use crate::manage::zone::Zone;
use crate::memory;
use crate::metrics::Metrics;
use crate::openapi;
use crate::readiness;
use crate::server::{self, Bounds};

/// How long a body may take to arrive.
const BODY_DEADLINE: Duration = Duration::from_secs(15);

/// How long the broker may take to confirm an event that could go to the spool instead.
const BEFORE_SPOOLING: Duration = Duration::from_secs(2);

/// And one that comes from the spool. Nobody waits for it, and what is given up too early is sent
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
    let connections = config.http_workers * accepted_connections(config.connections_per_worker);
    check_open_files(
        connections as u64 + u64::from(config.store.pool_size),
        "--max-connections",
    );
    let (health, registry) = (Health::new(), Registry::new());
    let store = Store::connect(config.store.clone());
    let zone = Arc::new(Zone::new(config.zone));
    let directory = Arc::new(Directory::default());
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
    let context = Data::new(context(
        &config, address, sink, &publisher, &store, &zone, &directory, &registry,
    ));
    let bounds = Bounds {
        workers: config.http_workers,
        connections: config.connections_per_worker,
    };
    // Before anybody can ask.
    let readiness = readiness::watch(publisher.state(), spool.clone(), &health);
    let schema = readiness::watch_schema(store.clone(), shutdown.clone(), &health);
    let memory = memory::watch(
        context.bodies.memory().clone(),
        publisher.clone(),
        &health,
        &registry,
    );
    let serving = server::serve(
        listener,
        &bounds,
        context.clone(),
        &health,
        &registry,
        publisher_task,
    );
    let server = match serving {
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
        result = watch_database(&zone, &directory, &store, &shutdown) => result,
    };
    health.stopping();
    if ended.is_ok() && shutdown.is_requested() {
        drain(config.drain, &context, &handle, is_inherited).await;
    }
    shutdown.trigger();
    handle.stop(true).await;
    context.browser_events.drain(LAST_EVENTS).await;
    if let Some(replaying) = replaying {
        replaying.abort();
    }
    publisher.close().await;
    if let Some(spool) = spool {
        // What the publisher could not finish is on its way there.
        context.browser_events.drain(LAST_EVENTS).await;
        spool.close().await;
    }
    watching.iter().for_each(JoinHandle::abort);
    log::info!("stopped");
    ended
}

/// Serves everybody for `time`, while balancers and clients that keep connections look elsewhere. Who
/// connects to a socket that outlives this process afterwards waits for the next one.
async fn drain(time: Duration, context: &Context, server: &ServerHandle, is_inherited: bool) {
    log::info!("not ready any more, serving for {} s", time.as_secs());
    context.is_draining.store(true, Ordering::Relaxed);
    sleep(time).await;
    if is_inherited {
        server.pause().await;
        sleep(LAST_REQUESTS).await;
    }
}

/// Keeps the ads up to date until the end, which is early when the database turns out to belong to
/// another zone, or to be out of this build's reach for good.
async fn watch_database(
    zone: &Zone,
    directory: &Directory,
    store: &Store,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    let watching = tokio::try_join!(
        zone.check(store, shutdown),
        directory::keep_fresh(directory, store, shutdown),
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

#[expect(
    clippy::too_many_arguments,
    reason = "one for each part that outlives it"
)]
fn context(
    config: &Config,
    address: SocketAddr,
    sink: Arc<dyn EventSink>,
    publisher: &Publisher,
    store: &Store,
    zone: &Arc<Zone>,
    directory: &Arc<Directory>,
    registry: &Registry,
) -> Context {
    let metrics = Metrics::new(registry, &openapi::answers());
    let bodies = BodyMemory::new(config.body_memory, registry);
    Context {
        intake: config.intake,
        sink: Arc::clone(&sink),
        publisher: publisher.clone(),
        browser_events: BrowserEvents::new(sink, metrics.clone(), Handle::current()),
        bodies: BodyReader::new(bodies, BODY_DEADLINE, config.trusted_proxies),
        large_bodies: LargeBodyPool::new(Handle::current()),
        directory: Arc::clone(directory),
        store: store.clone(),
        zone: Arc::clone(zone),
        final_after: config.final_after,
        trusted_proxies: config.trusted_proxies,
        allowed_hosts: AllowedHosts::new(&config.allowed_hosts, address.ip()),
        is_draining: AtomicBool::new(false),
        metrics,
        clock: now,
    }
}

/// The time, to the millisecond; a clock set before 1970 reads as 1970.
fn now() -> Timestamp {
    Timestamp::try_from(clock::now()).unwrap_or(Timestamp::EPOCH)
}
