//! Responses that are sent before the request's body was read.
//!
//! Once such a body is dropped, actix reads on to its end to keep the connection, and a chunked body need
//! never end. While it is not dropped, actix sends the response, gives the client a moment and closes.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::HttpMessage;
use actix_web::dev::{Payload, ServiceRequest};
use actix_web::error::PayloadError;
use actix_web::http::header::TRANSFER_ENCODING;
use actix_web::web::Bytes;
use futures_util::Stream;

/// Long enough for any response to be sent.
const HOLD: Duration = Duration::from_secs(5);

/// Keeps an unread chunked body from being dropped while its response is sent.
pub(crate) struct BodyGuard {
    shared: Rc<RefCell<Shared>>,
}

struct Shared {
    payload: Payload,
    is_read: bool,
}

struct Reader(Rc<RefCell<Shared>>);

impl BodyGuard {
    /// Shares the body of `request` with its route; `None` when it is not chunked.
    pub(crate) fn new(request: &mut ServiceRequest) -> Option<Self> {
        if !request.headers().contains_key(TRANSFER_ENCODING) {
            return None;
        }
        let payload = request.take_payload();
        let shared = Rc::new(RefCell::new(Shared {
            payload,
            is_read: false,
        }));
        let stream = Box::pin(Reader(Rc::clone(&shared)));
        request.set_payload(Payload::Stream { payload: stream });
        Some(Self { shared })
    }

    /// Drops a body that was read to its end, and any other once its response is sent.
    pub(crate) fn release(self) {
        if !self.shared.borrow().is_read {
            actix_web::rt::spawn(async move {
                actix_web::rt::time::sleep(HOLD).await;
                drop(self);
            });
        }
    }
}

impl Stream for Reader {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut shared = self.0.borrow_mut();
        let polled = Pin::new(&mut shared.payload).poll_next(cx);
        shared.is_read = matches!(polled, Poll::Ready(None));
        polled
    }
}
