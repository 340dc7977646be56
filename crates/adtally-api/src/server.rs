//! The HTTP server: routes, bounds, shutdown.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::web::{Data, ServiceConfig, to};
use actix_web::{App, HttpServer};
use adtally_service::metrics::Registry;
use adtally_service::{ExitKind, Failure, Health, health_routes};

use crate::context::Context;
use crate::gone;
use crate::lodger::Lodger;
use crate::observe::observe;
use crate::routes;

/// How long a client may take to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an idle connection stays open: longer than common load balancers keep theirs.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// How long a client that was answered early may go on sending before it is cut off.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long requests may take to finish once the server stops: longer than a body may take to
/// arrive and its events to be kept.
pub(crate) const STOP_SECONDS: u64 = 25;

/// The bounds of the server.
pub(crate) struct Bounds {
    /// The address to listen on.
    pub(crate) bind: SocketAddr,
    /// Threads that answer requests.
    pub(crate) workers: usize,
    /// The most connections each of them holds.
    pub(crate) connections: usize,
}

/// Listens on an address and serves, with `lodger` on an HTTP thread. The server stops when its handle
/// is told to.
///
/// # Errors
/// A failure that names the address when it cannot be listened on.
pub(crate) fn serve(
    bounds: &Bounds,
    context: Data<Context>,
    health: &Health,
    registry: &Registry,
    lodger: Option<Lodger>,
) -> Result<(Server, Vec<SocketAddr>), Failure> {
    let (health, registry) = (health.clone(), registry.clone());
    let lodger = Arc::new(Mutex::new(lodger));
    let server = HttpServer::new(move || {
        // Called on each HTTP thread.
        if let Some(lodger) = lodger.lock().unwrap_or_else(PoisonError::into_inner).take() {
            actix_web::rt::spawn(lodger);
        }
        let context = context.clone();
        App::new()
            .wrap(from_fn(observe))
            .configure(|config| everything(config, context, &health, &registry))
    })
    .on_connect(gone::cut_off)
    .workers(bounds.workers)
    .max_connections(bounds.connections)
    .backlog(4_096)
    .keep_alive(KEEP_ALIVE)
    .client_request_timeout(HEAD_TIMEOUT)
    .client_disconnect_timeout(DISCONNECT_TIMEOUT)
    .shutdown_timeout(STOP_SECONDS)
    .disable_signals()
    .bind(bounds.bind)
    .map_err(|error| refused(bounds.bind, &error))?;
    let addresses = server.addrs();
    Ok((server.run(), addresses))
}

/// Whether `bind` can be listened on now.
///
/// # Errors
/// [`ExitKind::Unavailable`] when it cannot.
pub(crate) fn is_free(bind: SocketAddr) -> Result<(), Failure> {
    std::net::TcpListener::bind(bind)
        .map(drop)
        .map_err(|error| refused(bind, &error))
}

fn refused(bind: SocketAddr, error: &std::io::Error) -> Failure {
    Failure {
        kind: ExitKind::Unavailable,
        message: format!("cannot listen on {bind}: {error}; choose another --bind"),
    }
}

/// Adds everything the API answers.
pub(crate) fn everything(
    config: &mut ServiceConfig,
    context: Data<Context>,
    health: &Health,
    registry: &Registry,
) {
    config
        .app_data(context)
        .configure(routes::configure)
        .configure(|config| health_routes(config, health.clone(), registry.clone()))
        .default_service(to(routes::nothing_here));
}
