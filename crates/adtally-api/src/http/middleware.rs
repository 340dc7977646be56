//! The middleware around every route. It refuses foreign hosts and origins, counts and times the request,
//! echoes its id and puts it into the log, waits for no unread body, and bounds large responses.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::ConnectionType;
use actix_web::http::header::{HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, ResponseError};
use adtally_service::logging::with_request_id;

use crate::http::body::BodyReader;
use crate::http::early_response::BodyGuard;
use crate::http::large_response;
use crate::http::metrics::HttpMetrics;
use crate::http::origin::{self, AllowedHosts};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID_BYTES: usize = 128;

/// What the middleware needs. One per process, shared by all its HTTP threads.
#[derive(Debug)]
pub(crate) struct HttpContext {
    allowed_hosts: AllowedHosts,
    bodies: BodyReader,
    metrics: HttpMetrics,
    /// The process is about to end: clients should connect elsewhere next time.
    is_draining: AtomicBool,
}

impl HttpContext {
    /// Lets browsers in by `allowed_hosts`. Large responses take memory of `bodies`.
    pub(crate) fn new(
        allowed_hosts: AllowedHosts,
        bodies: BodyReader,
        metrics: HttpMetrics,
    ) -> Self {
        Self {
            allowed_hosts,
            bodies,
            metrics,
            is_draining: AtomicBool::new(false),
        }
    }

    /// Has every client told to connect anew for its next request.
    pub(crate) fn start_draining(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }
}

/// Handles `request` with `next`, the route.
pub(crate) async fn around_routes(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let started = Instant::now();
    let id = request
        .headers()
        .get(REQUEST_ID)
        .filter(|id| is_plain(id))
        .cloned();
    let context = request.app_data::<Data<HttpContext>>().cloned();
    let body = BodyGuard::new(&mut request);
    let refused = context
        .as_ref()
        .and_then(|context| origin::check(&request, &context.allowed_hosts).err());
    let named = id.as_ref().and_then(|id| id.to_str().ok());
    let response = match (refused, named) {
        (Some(problem), _) => request
            .into_response(problem.error_response())
            .map_into_right_body(),
        (None, Some(id)) => with_request_id(id.to_owned(), next.call(request))
            .await?
            .map_into_left_body(),
        (None, None) => next.call(request).await?.map_into_left_body(),
    };
    if let Some(body) = body {
        body.release();
    }
    let bodies = context.as_ref().map(|context| &context.bodies);
    let mut response = large_response::bounded(response, bodies);
    response
        .headers_mut()
        .insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(id) = id {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    if let Some(context) = context {
        if context.is_draining.load(Ordering::Relaxed) {
            let head = response.response_mut().head_mut();
            head.set_connection_type(ConnectionType::Close);
        }
        let request = response.request();
        let route = request.match_pattern();
        let (method, status) = (request.method(), response.status());
        context
            .metrics
            .answered(method, route.as_deref(), status, started.elapsed());
    }
    Ok(response)
}

fn is_plain(id: &HeaderValue) -> bool {
    id.len() <= REQUEST_ID_BYTES && id.as_bytes().iter().all(u8::is_ascii_graphic)
}
