//! What happens around every request: it is let in, it is counted, its id is echoed and stands in the
//! log, the rest of a body that nobody wants is not waited for, and a large answer is bounded.

use std::sync::atomic::Ordering;
use std::time::Instant;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::ConnectionType;
use actix_web::http::header::{HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, ResponseError};
use adtally_service::logging::with_request_id;

use crate::access;
use crate::answer;
use crate::context::Context;
use crate::unread;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID_BYTES: usize = 128;

/// The middleware.
pub(crate) async fn observe(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let started = Instant::now();
    let id = request
        .headers()
        .get(REQUEST_ID)
        .filter(|id| is_plain(id))
        .cloned();
    let context = request.app_data::<Data<Context>>().cloned();
    let body = unread::hold(&mut request);
    let refused = context
        .as_ref()
        .and_then(|context| access::check(&request, &context.allowed_hosts).err());
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
    let mut response = answer::bounded(response, bodies);
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
