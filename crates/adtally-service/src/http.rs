//! The HTTP server of every process: actix's own, behind connections that are bounded from head to head.

mod admission;
mod connection;
mod connections;
mod refused;
mod requests;
mod target;
mod tcp_timeouts;
#[cfg(test)]
mod tests;
mod turns;

use std::fmt::Debug;
use std::io;
use std::net::TcpListener;
use std::time::Duration;

use actix_http::body::MessageBody;
use actix_http::error::DispatchError;
use actix_http::{Extensions, HttpMessage, HttpService, Request, Response};
use actix_service::{
    IntoServiceFactory, ServiceFactory, ServiceFactoryExt, apply_fn_factory, map_config,
};
use actix_web::HttpResponse;
use actix_web::dev::{AppConfig, Server, Service};
use actix_web::http::Method;
use actix_web::http::header::{CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING, UPGRADE};
use tokio::net::TcpStream;

use crate::metrics::Registry;
use crate::{Check, ClientNetwork};
use connection::Connection;
use connections::{ConnectionMetrics, Connections, RequestTracker};
use refused::{Refusals, Refused};
use turns::Rounds;

/// The bounds of a server.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// Threads that answer requests, at least one.
    pub threads: usize,
    /// The most connections each of them holds before it closes idle ones for newcomers. An eighth more
    /// is kept for clients that have few.
    pub connections_per_thread: usize,
    /// Told when all connections are taken.
    pub connections_check: Option<Check>,
    /// What each request's head may take.
    pub head: HeadLimits,
    /// How long a connection without a request stays open.
    pub keep_alive: Duration,
    /// How long a client that was answered early may go on sending before it is cut off.
    pub disconnect_timeout: Duration,
    /// How many seconds requests may take to finish once the server stops.
    pub stop_seconds: u64,
}

/// What the head of a request may take, on a new connection as on one that was used before.
#[derive(Debug, Clone, Copy)]
pub struct HeadLimits {
    /// Bytes, to the end of the empty line behind it.
    pub bytes: usize,
    /// From the connection, or the first byte of a later head, to its last byte.
    pub time: Duration,
}

impl HeadLimits {
    /// More than browsers and proxies send.
    pub const DEFAULT: Self = Self {
        bytes: 16 * 1_024,
        time: Duration::from_secs(5),
    };
}

/// Serves `app` on `listener` once the answer is awaited, until its handle is told to stop. Requests that
/// no route of `app` sees are counted in `registry`.
///
/// # Errors
/// When the listener cannot be used.
pub fn serve_http<App, Factory, F, Body>(
    listener: TcpListener,
    options: &HttpOptions,
    registry: &Registry,
    app: App,
) -> io::Result<Server>
where
    App: Fn() -> Factory + Send + Clone + 'static,
    Factory: IntoServiceFactory<F, Request>,
    F: ServiceFactory<Request, Config = AppConfig> + 'static,
    F::Service: 'static,
    F::Error: Into<actix_web::Error> + 'static,
    F::InitError: Debug,
    F::Response: Into<Response<Body>> + 'static,
    <F::Service as Service<Request>>::Future: 'static,
    Body: MessageBody + 'static,
{
    let builder = Server::build()
        .workers(options.threads)
        .max_concurrent_connections(accepted_connections(options.connections_per_thread))
        .shutdown_timeout(options.stop_seconds)
        .disable_signals();
    let stopping = builder.graceful_shutdown_signal();
    let (options, refusals) = (options.clone(), Refusals::new(registry));
    let connections = ConnectionMetrics::new(
        registry,
        options.threads * options.connections_per_thread,
        options.connections_check.clone(),
    );
    let server = builder.listen("http", listener, move || {
        let (stopping, refusals, head) = (stopping.clone(), refusals.clone(), options.head);
        let app = app()
            .into_factory()
            .map_err(|error| error.into().error_response());
        let connections = Connections::new(options.connections_per_thread, connections.clone());
        let of_upgrades = refusals.clone();
        let app = apply_fn_factory(
            map_config(app, |()| AppConfig::default()),
            move |request, app: &_| answer(request, app, &of_upgrades),
        );
        let http = HttpService::build()
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            .keep_alive(options.keep_alive)
            // The connection looks after every head, actix only after the first one.
            .client_request_timeout(Duration::ZERO)
            .client_disconnect_timeout(options.disconnect_timeout)
            .on_connect_ext(|connection: &Connection, data: &mut Extensions| {
                data.insert(connection.tracker());
            })
            .h1(app);
        let (counted, rounds) = (refusals.clone(), Rounds::default());
        let in_rounds = rounds.clone();
        let admit = move |io: TcpStream| {
            tcp_timeouts::set(&io);
            let peer = io.peer_addr().ok();
            match connections.acquire(ClientNetwork::of(peer.map(|peer| peer.ip()))) {
                Some(guard) => {
                    let turns = rounds.turns();
                    let connection = Connection::new(io, guard, turns, head, refusals.clone());
                    Ok((connection, peer))
                }
                None => Err(answer_refused(&io)),
            }
        };
        admission::in_turns(in_rounds, admit)
            .and_then(http)
            .map_err(move |error| {
                if let Some(refused) = Refused::from_dispatch(&error) {
                    counted.count(refused);
                }
            })
    })?;
    Ok(server.run())
}

/// How many connections a thread accepts whose limit is `limit`, so that each newcomer is at least looked
/// at: as many as there may be, and some that are being closed.
pub const fn accepted_connections(limit: usize) -> usize {
    connections::max_connections(limit) + limit / 8 + 64
}

/// Tells a client that there is no room for it.
fn answer_refused(io: &TcpStream) -> DispatchError {
    const ANSWER: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\n\
        content-length: 0\r\nconnection: close\r\n\r\n";
    let _best_effort = io.try_write(ANSWER);
    DispatchError::Io(io::ErrorKind::ConnectionRefused.into())
}

/// Has `app` answer `request`, and the connection know when it has.
fn answer<App: Service<Request, Error = HttpResponse>>(
    request: Request,
    app: &App,
    refusals: &Refusals,
) -> impl Future<Output = Result<App::Response, HttpResponse>> + use<App> {
    let tracker = request.conn_data::<RequestTracker>().cloned();
    let answering = if asks_for_stream(&request) {
        refusals.count(Refused::Upgrade);
        None
    } else {
        Some(app.call(request))
    };
    async move {
        let answer = match answering {
            Some(answering) => answering.await,
            None => Err(HttpResponse::BadRequest().force_close().finish()),
        };
        if let Some(tracker) = tracker {
            tracker.answered();
        }
        answer
    }
}

/// Whether actix takes everything that follows `request` for its body, whatever length it gives.
fn asks_for_stream(request: &Request) -> bool {
    let is_websocket = |upgrade: &HeaderValue| {
        let upgrade = upgrade.as_bytes().trim_ascii();
        upgrade.eq_ignore_ascii_case(b"websocket")
    };
    // actix looks at each of several headers.
    let headers = request.headers();
    let has_length = |length: &HeaderValue| length.as_bytes().iter().any(|&digit| digit != b'0');
    let is_bare = request.method() == Method::CONNECT
        && !headers.contains_key(TRANSFER_ENCODING)
        && !headers.get(CONTENT_LENGTH).is_some_and(has_length);
    is_bare || headers.get_all(UPGRADE).any(is_websocket)
}
