//! The first chunk of a body, which mostly comes together with its head.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Waker};

use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::web::Bytes;
use futures_util::Stream;

/// The first chunk of a body; `None` when it is empty. Needs a deadline around it.
///
/// actix polls a handler when it has read a request's head, and nearly always polls it again in the same
/// turn, when it has read the body. A waker left at the first poll would be woken as well, and the
/// connection would be polled once for nothing. So the first poll leaves none. A body that does not come
/// from actix's HTTP/1 connection is polled with the waker at once.
///
/// A request that had to wait for the one before it is polled only once, if no more of it has arrived. It
/// is polled again when more arrives, or by the deadline.
///
/// actix documents none of this. `tests/e2e/bad_input/connections.rs` fails by timeout when it changes.
pub(super) async fn first_chunk_without_waker(
    payload: &mut Payload,
) -> Option<Result<Bytes, PayloadError>> {
    let mut is_polled_again = matches!(payload, Payload::H1 { .. });
    poll_fn(|context| {
        let payload = Pin::new(&mut *payload);
        if std::mem::take(&mut is_polled_again) {
            payload.poll_next(&mut Context::from_waker(Waker::noop()))
        } else {
            payload.poll_next(context)
        }
    })
    .await
}
