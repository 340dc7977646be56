//! The HTTP server: routes, bounds, shutdown.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::App;
use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::web::{ServiceConfig, to};
use adtally_service::metrics::Registry;
use adtally_service::{
    ExitKind, Failure, HeadLimits, Health, HttpOptions, health_routes, serve_http,
};

use crate::app_data::AppData;
use crate::http::listener::Listener;
use crate::http::middleware::around_routes;
use crate::http::migrating_task::MigratingTask;
use crate::routes;

/// How long an idle connection stays open: longer than common load balancers keep theirs.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// How long a client that was answered early may go on sending before it is cut off.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long requests may take to finish once the server stops: longer than a body may take to
/// arrive and its events to become durable.
pub(crate) const STOP_SECONDS: u64 = 25;

/// The bounds of the server.
pub(crate) struct Bounds {
    /// Threads that answer requests.
    pub(crate) workers: usize,
    /// The most connections each of them holds.
    pub(crate) connections: usize,
}

/// Serves what connects to `listener`, with the publisher's task on an HTTP thread if it is given. The server
/// stops when its handle is told to.
///
/// # Errors
/// A failure that names the address when it cannot be served.
pub(crate) fn serve(
    listener: Listener,
    bounds: &Bounds,
    app_data: AppData,
    health: &Health,
    registry: &Registry,
    publisher_task: Option<MigratingTask>,
) -> Result<Server, Failure> {
    let options = HttpOptions {
        threads: bounds.workers,
        connections_per_thread: bounds.connections,
        connections_check: Some(health.check("connections")),
        head: HeadLimits::DEFAULT,
        keep_alive: KEEP_ALIVE,
        disconnect_timeout: DISCONNECT_TIMEOUT,
        stop_seconds: STOP_SECONDS,
    };
    let publisher_task = Arc::new(Mutex::new(publisher_task));
    let app = {
        let (health, registry) = (health.clone(), registry.clone());
        move || {
            // Called on each HTTP thread.
            if let Some(task) = publisher_task
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take()
            {
                actix_web::rt::spawn(task);
            }
            let app_data = app_data.clone();
            App::new()
                .wrap(from_fn(around_routes))
                .configure(|config| configure_app(config, app_data, &health, &registry))
        }
    };
    let address = listener.address;
    serve_http(listener.socket, &options, registry, app).map_err(|error| Failure {
        kind: ExitKind::Unavailable,
        message: format!("cannot serve on {address}: {error}"),
    })
}

/// Adds all routes, and the answer where there is none.
pub(crate) fn configure_app(
    config: &mut ServiceConfig,
    app_data: AppData,
    health: &Health,
    registry: &Registry,
) {
    app_data.add_to(config);
    config
        .configure(routes::configure)
        .configure(|config| health_routes(config, health.clone(), registry.clone()))
        .default_service(to(routes::not_found));
}
