//! The HTTP server: routes, bounds, shutdown.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::App;
use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::web::{Data, ServiceConfig, to};
use adtally_service::metrics::Registry;
use adtally_service::{
    ExitKind, Failure, HeadLimits, Health, HttpOptions, health_routes, serve_http,
};

use crate::context::Context;
use crate::lodger::Lodger;
use crate::observe::observe;
use crate::routes;

/// How many connections may wait to be taken.
const BACKLOG: i32 = 4_096;

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
    let listener = listen(bounds.bind)?;
    let addresses = listener.local_addr().into_iter().collect();
    let options = HttpOptions {
        threads: bounds.workers,
        connections_per_thread: bounds.connections,
        connections_check: Some(health.check("connections")),
        head: HeadLimits::DEFAULT,
        keep_alive: KEEP_ALIVE,
        disconnect_timeout: DISCONNECT_TIMEOUT,
        stop_seconds: STOP_SECONDS,
    };
    let lodger = Arc::new(Mutex::new(lodger));
    let app = {
        let (health, registry) = (health.clone(), registry.clone());
        move || {
            // Called on each HTTP thread.
            if let Some(lodger) = lodger.lock().unwrap_or_else(PoisonError::into_inner).take() {
                actix_web::rt::spawn(lodger);
            }
            let context = context.clone();
            App::new()
                .wrap(from_fn(observe))
                .configure(|config| everything(config, context, &health, &registry))
        }
    };
    let server = serve_http(listener, &options, registry, app)
        .map_err(|error| refused(bounds.bind, &error))?;
    Ok((server, addresses))
}

/// A socket that listens on `bind`.
fn listen(bind: SocketAddr) -> Result<TcpListener, Failure> {
    let listener = TcpListener::bind(bind).and_then(|listener| {
        rustix::net::listen(&listener, BACKLOG)?;
        Ok(listener)
    });
    listener.map_err(|error| refused(bind, &error))
}

/// Whether `bind` can be listened on now.
///
/// # Errors
/// [`ExitKind::Unavailable`] when it cannot.
pub(crate) fn is_free(bind: SocketAddr) -> Result<(), Failure> {
    listen(bind).map(drop)
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
