//! What happens around every request: it is counted, its id is echoed, and an error the framework
//! made itself gets a problem's body.

use std::time::Instant;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, ResponseError};

use crate::context::Context;
use crate::problem::Problem;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID_BYTES: usize = 128;

/// The middleware.
pub(crate) async fn observe(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let started = Instant::now();
    let id = request
        .headers()
        .get(REQUEST_ID)
        .filter(|id| is_plain(id))
        .cloned();
    let context = request.app_data::<Data<Context>>().cloned();
    let mut response = with_problem_body(next.call(request).await?.map_into_boxed_body());
    if let Some(id) = id {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    if let Some(context) = context {
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

fn with_problem_body(response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
    let status = response.status();
    let is_bare = !response.headers().contains_key(CONTENT_TYPE);
    if is_bare && (status.is_client_error() || status.is_server_error()) {
        let (request, _) = response.into_parts();
        return ServiceResponse::new(request, Problem::of_status(status).error_response());
    }
    response
}
