//! `/livez`, `/readyz` and `/metrics`.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::guard::fn_guard;
use actix_web::http::Method;
use actix_web::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use actix_web::web::{self, ServiceConfig};
use actix_web::{App, HttpRequest, HttpResponse, Route};

use crate::http::{HeadLimits, HttpOptions, serve_http};
use crate::metrics::Registry;
use crate::{ExitKind, Failure, Health};

/// Enough for probes and metrics.
const OPTIONS: HttpOptions = HttpOptions {
    threads: 1,
    connections_per_thread: 64,
    connections_check: None,
    head: HeadLimits::DEFAULT,
    keep_alive: Duration::from_secs(5),
    disconnect_timeout: Duration::from_secs(1),
    stop_seconds: 1,
};

/// The paths that [`health_routes`] adds.
pub const HEALTH_PATHS: [&str; 3] = [LIVEZ, READYZ, METRICS];

const LIVEZ: &str = "/livez";
const READYZ: &str = "/readyz";
const METRICS: &str = "/metrics";

/// Adds `/livez`, `/readyz` and `/metrics`, for GET and HEAD, to an actix application.
pub fn health_routes(config: &mut ServiceConfig, health: Health, registry: Registry) {
    config
        .route(LIVEZ, get().to(livez))
        .route(READYZ, get().to(move || readyz(health.clone())))
        .route(METRICS, get().to(move || metrics(registry.clone())));
}

fn get() -> Route {
    web::route().guard(fn_guard(|request| {
        matches!(request.head().method, Method::GET | Method::HEAD)
    }))
}

/// What answers anything else than [`health_routes`] where nothing else is served.
async fn nothing_here(request: HttpRequest) -> HttpResponse {
    match request.match_pattern() {
        Some(_) => HttpResponse::MethodNotAllowed()
            .insert_header((ALLOW, "GET, HEAD"))
            .finish(),
        None => HttpResponse::NotFound().finish(),
    }
}

async fn livez() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .body("ok\n")
}

async fn readyz(health: Health) -> HttpResponse {
    let readiness = health.readiness();
    let mut response = if readiness.ready {
        HttpResponse::Ok()
    } else {
        HttpResponse::ServiceUnavailable()
    };
    response
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(readiness)
}

async fn metrics(registry: Registry) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/plain; version=0.0.4"))
        .body(registry.render())
}

/// A small server for the health of a process that serves nothing else.
#[derive(Debug)]
pub struct HealthServer {
    address: SocketAddr,
    handle: ServerHandle,
}

impl HealthServer {
    /// Listens on `bind`; port 0 picks a free one.
    ///
    /// # Errors
    /// [`ExitKind::Unavailable`] when the address cannot be listened on.
    pub fn start(bind: SocketAddr, health: Health, registry: Registry) -> Result<Self, Failure> {
        let refused = |error: std::io::Error| Failure {
            kind: ExitKind::Unavailable,
            message: format!(
                "cannot listen on {bind} for health checks: {error}; choose another --health-bind"
            ),
        };
        health.show_in(&registry);
        let listener = TcpListener::bind(bind).map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let app = {
            let registry = registry.clone();
            move || {
                App::new()
                    .configure(|config| health_routes(config, health.clone(), registry.clone()))
                    .default_service(web::to(nothing_here))
            }
        };
        let server = serve_http(listener, &OPTIONS, &registry, app).map_err(refused)?;
        let handle = server.handle();
        tokio::spawn(server);
        Ok(Self { address, handle })
    }

    /// The address it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops listening.
    pub async fn stop(self) {
        self.handle.stop(true).await;
    }
}

#[cfg(test)]
mod tests;
