//! What happens around every request: it is counted, its id is echoed and stands in the log, and the
//! rest of a body that nobody wants is not waited for.

use std::time::Instant;

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::web::Data;
use adtally_service::logging::with_request_id;

use crate::context::Context;
use crate::unread;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID_BYTES: usize = 128;

/// The middleware.
pub(crate) async fn observe(
    mut request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let started = Instant::now();
    let id = request
        .headers()
        .get(REQUEST_ID)
        .filter(|id| is_plain(id))
        .cloned();
    let context = request.app_data::<Data<Context>>().cloned();
    let body = unread::hold(&mut request);
    let named = id.as_ref().and_then(|id| id.to_str().ok());
    let mut response = match named {
        Some(id) => with_request_id(id.to_owned(), next.call(request)).await?,
        None => next.call(request).await?,
    };
    if let Some(body) = body {
        body.release();
    }
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
