//! Bodies that come together with their head.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Waker};

use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::web::Bytes;
use futures_util::Stream;

/// The first piece of a body; `None` when it is empty. Needs a deadline around it.
///
/// actix calls a handler when it has read a request's head, and nearly always again in the same turn,
/// when it has read the body. Whoever asked to be woken for that at the first call would be woken as
/// well, and the connection would have a turn for nothing. So only later calls ask. A body that is read
/// by others than actix's HTTP/1 connection is asked for at once.
///
/// A request that had to wait for the one before it is called only once, if no more of it has come. It is
/// called again when more comes, or by the deadline.
pub(super) async fn first(payload: &mut Payload) -> Option<Result<Bytes, PayloadError>> {
    let mut is_called_again = matches!(payload, Payload::H1 { .. });
    poll_fn(|context| {
        let payload = Pin::new(&mut *payload);
        if std::mem::take(&mut is_called_again) {
            payload.poll_next(&mut Context::from_waker(Waker::noop()))
        } else {
            payload.poll_next(context)
        }
    })
    .await
}
