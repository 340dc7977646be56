//! Request bodies: read within limits of size, time, rate and memory.

mod first_chunk;
mod gzip;
mod memory;
mod min_rate;
#[cfg(test)]
mod tests;

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::dev;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use actix_web::web::{Bytes, Payload};
use adtally_service::ClientNetwork;
use futures_util::StreamExt;
use tokio::time::{Instant, timeout_at};

use crate::http::client;
use crate::http::problem::{Problem, ProblemCode};
use min_rate::MinRate;

use first_chunk::first_chunk_without_waker;
pub(crate) use memory::{BodyMemory, Reservation, Shortage};
use memory::{HEADROOM, Refusal};

/// The most bytes, also once they are decompressed, that are turned into events on the HTTP thread of
/// their request. It takes less than a millisecond.
const INLINE_BYTES: usize = 64 * 1_024;

/// Reads bodies. Cheap to clone; all clones share one memory.
#[derive(Debug, Clone)]
pub(crate) struct BodyReader {
    memory: BodyMemory,
    deadline: Duration,
    trusted_proxies: usize,
}

/// A body as it arrived, perhaps compressed.
#[derive(Debug)]
pub(crate) struct Received {
    body: Body,
    is_gzip: bool,
    /// The most bytes it may have, also once it is decompressed.
    limit: usize,
}

/// A body, decoded. Its memory is released when it is dropped.
#[derive(Debug)]
pub(crate) struct Body {
    bytes: Vec<u8>,
    reservation: Reservation,
}

impl Body {
    /// The content.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Drops the content and keeps memory reserved for the `bytes` that were made of it, which may be more.
    ///
    /// # Errors
    /// [`ProblemCode::Overloaded`] when there is no memory for them.
    pub(crate) fn swap_for(self, bytes: usize) -> Result<Reservation, Problem> {
        let Self {
            bytes: content,
            mut reservation,
        } = self;
        drop(content);
        reservation.grow_to(bytes)?;
        Ok(reservation)
    }
}

impl Received {
    /// The content, if decoding is little work; else the body as it is, for [`Self::decode`] on another
    /// thread.
    ///
    /// # Errors
    /// A body that is wrongly encoded, or too large.
    pub(crate) fn decode_inline(self) -> Result<Result<Body, Self>, Problem> {
        if self.body.bytes.len() > INLINE_BYTES {
            return Ok(Err(self));
        }
        if !self.is_gzip {
            return Ok(Ok(self.body));
        }
        match gzip::decompress(&self.body.bytes, self.limit.min(INLINE_BYTES)) {
            Err(gzip::Fault::TooLarge { limit }) if limit < self.limit => Ok(Err(self)),
            decompressed => self.with_content(decompressed).map(Ok),
        }
    }

    /// The content. May take milliseconds.
    ///
    /// # Errors
    /// A body that is wrongly encoded, or too large.
    pub(crate) fn decode(self) -> Result<Body, Problem> {
        if !self.is_gzip {
            return Ok(self.body);
        }
        let decompressed = gzip::decompress(&self.body.bytes, self.limit);
        self.with_content(decompressed)
    }

    fn with_content(self, decompressed: Result<Vec<u8>, gzip::Fault>) -> Result<Body, Problem> {
        let malformed = |detail: &str| Problem::new(ProblemCode::MalformedEncoding, detail);
        let bytes = decompressed.map_err(|fault| match fault {
            gzip::Fault::Malformed => malformed("the body is not gzip"),
            gzip::Fault::TooManyMembers => malformed("the body has too many gzip members"),
            gzip::Fault::TooLarge { limit } if limit < self.limit => grows_too_far(limit),
            gzip::Fault::TooLarge { limit } => too_large(limit),
        })?;
        let mut reservation = self.body.reservation;
        reservation.grow_to(bytes.len() + HEADROOM)?;
        Ok(Body { bytes, reservation })
    }
}

impl BodyReader {
    /// A reader whose bodies, and what was made of them, are held in `memory`, and each of which must
    /// have arrived within `deadline`. Memory is reserved per client, `trusted_proxies` hops away.
    pub(crate) fn new(memory: BodyMemory, deadline: Duration, trusted_proxies: usize) -> Self {
        Self {
            memory,
            deadline,
            trusted_proxies,
        }
    }

    /// An empty reservation for the client of `request`.
    pub(crate) fn reserve(&self, request: &HttpRequest) -> Reservation {
        let (headers, peer) = (request.headers(), request.peer_addr());
        let address = client::address(headers, peer, self.trusted_proxies);
        self.memory.reserve(ClientNetwork::of(address))
    }

    /// The memory that bodies are held in.
    pub(crate) fn memory(&self) -> &BodyMemory {
        &self.memory
    }

    /// Reads the body of `request`, at most `limit` bytes, also once it is decoded.
    ///
    /// # Errors
    /// A body that is too large, too slow, cut off or wrongly encoded, and too many bodies at once.
    pub(crate) async fn read(
        &self,
        request: &HttpRequest,
        payload: Payload,
        limit: usize,
    ) -> Result<Body, Problem> {
        self.receive(request, payload, limit).await?.decode()
    }

    /// Reads the body of `request` as it comes, at most `limit` bytes.
    ///
    /// # Errors
    /// A body that is too large, too slow or cut off, and too many bodies at once.
    pub(crate) async fn receive(
        &self,
        request: &HttpRequest,
        payload: Payload,
        limit: usize,
    ) -> Result<Received, Problem> {
        let is_gzip = is_gzip(request)?;
        if announced_length(request).is_some_and(|length| length > limit as u64) {
            return Err(too_large(limit));
        }
        let body = Body {
            bytes: Vec::new(),
            reservation: self.reserve(request),
        };
        Ok(Received {
            body: self.fill(body, payload.into_inner(), limit).await?,
            is_gzip,
            limit,
        })
    }

    async fn fill(
        &self,
        mut body: Body,
        mut payload: dev::Payload,
        limit: usize,
    ) -> Result<Body, Problem> {
        let mut rate = MinRate::new(Instant::now(), self.deadline);
        let mut next = timeout_at(rate.next_check(), first_chunk_without_waker(&mut payload)).await;
        loop {
            match next {
                Ok(None) => return Ok(body),
                Ok(Some(chunk)) => add(&mut body, &chunk.map_err(|_| cut_off())?, limit)?,
                Err(_) => {}
            }
            if !rate.is_met(Instant::now(), body.bytes.len()) {
                self.memory.count_refused(Refusal::Slow);
                return Err(too_slow(self.deadline));
            }
            next = timeout_at(rate.next_check(), payload.next()).await;
        }
    }
}

fn add(body: &mut Body, chunk: &Bytes, limit: usize) -> Result<(), Problem> {
    let length = body.bytes.len() + chunk.len();
    if length > limit {
        return Err(too_large(limit));
    }
    body.reservation.grow_to(length + HEADROOM)?;
    body.bytes.extend_from_slice(chunk);
    Ok(())
}

fn cut_off() -> Problem {
    let detail = "the body ended early or is malformed";
    Problem::new(ProblemCode::MalformedRequest, detail)
}

fn too_slow(deadline: Duration) -> Problem {
    let seconds = deadline.as_secs();
    let detail =
        format!("it must arrive within {seconds} s, and at 4 KiB a second after the first 3");
    Problem::new(ProblemCode::BodyTimeout, detail)
}

fn is_gzip(request: &HttpRequest) -> Result<bool, Problem> {
    match request
        .headers()
        .get(CONTENT_ENCODING)
        .map(|value| value.as_bytes())
    {
        None => Ok(false),
        Some(name) if name.eq_ignore_ascii_case(b"gzip") => Ok(true),
        Some(name) if name.eq_ignore_ascii_case(b"identity") || name.is_empty() => Ok(false),
        Some(_) => Err(Problem::new(
            ProblemCode::UnsupportedEncoding,
            "send the body plain or as gzip",
        )),
    }
}

fn announced_length(request: &HttpRequest) -> Option<u64> {
    request
        .headers()
        .get(CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

fn too_large(limit: usize) -> Problem {
    let detail = format!("a body has at most {limit} bytes, also when it is decompressed");
    Problem::new(ProblemCode::BodyTooLarge, detail)
}

fn grows_too_far(limit: usize) -> Problem {
    let detail =
        format!("decompressed it would have more than {limit} bytes; send it plain, or in parts");
    Problem::new(ProblemCode::BodyTooLarge, detail)
}
