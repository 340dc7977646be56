//! Bodies that are answered before they are read.
//!
//! Once nobody holds such a body, actix reads on to its end to keep the connection, and a chunked
//! body need never end. While somebody holds it, actix answers, gives the client a moment and closes.

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

/// Long enough for any answer to be on its way.
const HOLD: Duration = Duration::from_secs(5);

/// A body that its route and this module hold together.
pub(crate) struct Held {
    shared: Rc<RefCell<Shared>>,
}

struct Shared {
    payload: Payload,
    is_read: bool,
}

struct Reader(Rc<RefCell<Shared>>);

/// Holds the body of `request`; `None` when it is not chunked.
pub(crate) fn hold(request: &mut ServiceRequest) -> Option<Held> {
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
    Some(Held { shared })
}

impl Held {
    /// Lets go of a body that was read to its end, and holds another until its answer is sent.
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
