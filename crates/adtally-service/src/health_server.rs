//! `/livez`, `/readyz` and `/metrics`.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use actix_web::web::{self, ServiceConfig};
use actix_web::{App, HttpResponse};

use crate::http::{HeadLimits, HttpOptions, serve_http};
use crate::metrics::Registry;
use crate::{ExitKind, Failure, Health};

/// Enough for whoever asks for health and metrics.
const OPTIONS: HttpOptions = HttpOptions {
    threads: 1,
    connections_per_thread: 64,
    connections_check: None,
    head: HeadLimits::DEFAULT,
    keep_alive: Duration::from_secs(5),
    disconnect_timeout: Duration::from_secs(1),
    stop_seconds: 1,
};

/// Adds `GET /livez`, `/readyz` and `/metrics` to an actix application.
pub fn health_routes(config: &mut ServiceConfig, health: Health, registry: Registry) {
    config
        .route("/livez", web::get().to(livez))
        .route("/readyz", web::get().to(move || readyz(health.clone())))
        .route("/metrics", web::get().to(move || metrics(registry.clone())));
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
        let listener = TcpListener::bind(bind).map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let app = {
            let registry = registry.clone();
            move || {
                App::new()
                    .configure(|config| health_routes(config, health.clone(), registry.clone()))
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
