//! Large responses, which their client may take its time to read.

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, EitherBody, MessageBody};
use actix_web::dev::ServiceResponse;
use actix_web::http::Method;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, ResponseError};
use adtally_service::HEALTH_PATHS;

use crate::http::body::{BodyReader, Reservation};

/// A response of more bytes counts as memory of its client until it is sent.
const LARGE: u64 = 64 * 1_024;

/// The bytes that the connection gets at a time. It would copy all at once, and hold them uncounted.
const PIECE: usize = 16 * 1_024;

/// The rest of a response, and its memory.
pub(crate) struct Pieces {
    rest: Bytes,
    _reservation: Reservation,
}

/// Sends a large response piece by piece. It takes over the reservation that its handler left in its
/// extensions.
///
/// If there is no memory for it, the client of a query is to ask again. A change is answered all the same:
/// asked for again, it would be done twice.
pub(crate) fn bounded<B: MessageBody>(
    mut response: ServiceResponse<B>,
    bodies: Option<&BodyReader>,
) -> ServiceResponse<EitherBody<B, EitherBody<Pieces>>> {
    let carried = response
        .response_mut()
        .extensions_mut()
        .remove::<Reservation>();
    let is_large =
        matches!(response.response().body().size(), BodySize::Sized(length) if length > LARGE);
    let Some(bodies) = bodies.filter(|_| is_large) else {
        return response.map_body(|_, body| EitherBody::left(body));
    };
    let (request, response) = response.into_parts();
    let (response, body) = response.into_parts();
    let rest = match body.try_into_bytes() {
        Ok(rest) => rest,
        // A stream, which is asked for its pieces anyway.
        Err(body) => {
            let response = response.set_body(EitherBody::left(body));
            return ServiceResponse::new(request, response);
        }
    };
    let mut reservation = carried.unwrap_or_else(|| bodies.reserve(&request));
    reservation.shrink_to(rest.len());
    let response = match reservation.grow_to(rest.len()) {
        Err(problem) if is_query(&request) => {
            let problem = problem.error_response();
            problem.map_body(|_, body| EitherBody::right(EitherBody::right(body)))
        }
        _ => {
            let pieces = Pieces {
                rest,
                _reservation: reservation,
            };
            response.set_body(EitherBody::right(EitherBody::left(pieces)))
        }
    };
    ServiceResponse::new(request, response)
}

/// Whether `request` changed nothing, and its client may be told to ask again. Health is asked for most when
/// memory is short.
fn is_query(request: &HttpRequest) -> bool {
    request.method() == Method::GET && !HEALTH_PATHS.contains(&request.path())
}

impl MessageBody for Pieces {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.rest.len() as u64)
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Infallible>>> {
        let length = self.rest.len().min(PIECE);
        let piece = self.rest.split_to(length);
        Poll::Ready(Some(piece).filter(|piece| !piece.is_empty()).map(Ok))
    }
}
