//! Request bodies: read within a size, a time and a share of the process's memory.

mod arrival;
#[cfg(test)]
mod tests;

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::dev;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use actix_web::web::Payload;
use flate2::read::MultiGzDecoder;
use futures_util::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::problem::{Problem, ProblemCode};

/// What a body's share has beyond its bytes. So a request of one event need not ask for more when
/// its event takes the body's place.
pub(crate) const HEADROOM: usize = 1_024;

/// How a body's content is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MediaType {
    /// `application/json`.
    Json,
    /// `application/x-ndjson`: one JSON text per line.
    Ndjson,
}

/// Reads bodies. Cheap to clone; all clones share one allowance of memory.
#[derive(Debug, Clone)]
pub(crate) struct BodyReader {
    allowance: Arc<Semaphore>,
    deadline: Duration,
}

/// A body, decoded. Its share of the allowance is returned when it is dropped.
#[derive(Debug)]
pub(crate) struct Body {
    bytes: Vec<u8>,
    share: Share,
}

/// A share of the allowance, returned when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Share(Option<OwnedSemaphorePermit>);

impl Body {
    /// The content.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Drops the content and keeps its share, for what was made of it.
    fn into_share(self) -> Share {
        self.share
    }
}

impl MediaType {
    /// The media type of a request's body, its parameters left aside.
    ///
    /// # Errors
    /// [`ProblemCode::UnsupportedMediaType`] when it is missing or another one.
    pub(crate) fn of(request: &HttpRequest) -> Result<Self, Problem> {
        let header = request
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let essence = header
            .and_then(|value| value.split(';').next())
            .unwrap_or_default()
            .trim();
        if essence.eq_ignore_ascii_case("application/json") {
            Ok(Self::Json)
        } else if essence.eq_ignore_ascii_case("application/x-ndjson") {
            Ok(Self::Ndjson)
        } else {
            let detail = "send content-type: application/json, or application/x-ndjson for events";
            Err(Problem::new(ProblemCode::UnsupportedMediaType, detail))
        }
    }
}

impl BodyReader {
    /// A reader whose bodies, and what was made of them, hold at most `allowance` bytes all together at
    /// any time, and each of which must have arrived within `deadline`.
    pub(crate) fn new(allowance: usize, deadline: Duration) -> Self {
        Self {
            allowance: Arc::new(Semaphore::new(allowance)),
            deadline,
        }
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
        let is_gzip = is_gzip(request)?;
        if announced_length(request).is_some_and(|length| length > limit as u64) {
            return Err(too_large(limit));
        }
        let receive = self.receive(payload.into_inner(), limit);
        let received = tokio::time::timeout(self.deadline, receive).await;
        let body = received.map_err(|_| {
            let detail = format!("it must arrive within {} s", self.deadline.as_secs());
            Problem::new(ProblemCode::BodyTimeout, detail)
        })??;
        if is_gzip {
            self.inflate(&body, limit)
        } else {
            Ok(body)
        }
    }

    /// Drops the content of `body` and holds a share for the `bytes` that were made of it, which may
    /// be more.
    ///
    /// # Errors
    /// [`ProblemCode::Overloaded`] when the allowance does not have them.
    pub(crate) fn exchange(&self, body: Body, bytes: usize) -> Result<Share, Problem> {
        let mut share = body.into_share();
        let held = share
            .0
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits);
        if bytes > held {
            self.grow(&mut share, bytes - held)?;
        }
        Ok(share)
    }

    async fn receive(&self, mut payload: dev::Payload, limit: usize) -> Result<Body, Problem> {
        let mut body = Body {
            bytes: Vec::new(),
            share: Share::default(),
        };
        let mut next = arrival::first(&mut payload).await;
        while let Some(chunk) = next {
            let chunk = chunk.map_err(|_| {
                Problem::new(
                    ProblemCode::MalformedRequest,
                    "the body ended early or is malformed",
                )
            })?;
            if body.bytes.len() + chunk.len() > limit {
                return Err(too_large(limit));
            }
            self.grow(&mut body.share, chunk.len())?;
            body.bytes.extend_from_slice(&chunk);
            next = payload.next().await;
        }
        Ok(body)
    }

    /// A gzip bomb costs at most `limit` bytes: decoding stops there.
    fn inflate(&self, compressed: &Body, limit: usize) -> Result<Body, Problem> {
        let mut body = Body {
            bytes: Vec::new(),
            share: Share::default(),
        };
        MultiGzDecoder::new(compressed.bytes())
            .take(limit as u64 + 1)
            .read_to_end(&mut body.bytes)
            .map_err(|_| Problem::new(ProblemCode::MalformedEncoding, "the body is not gzip"))?;
        if body.bytes.len() > limit {
            return Err(too_large(limit));
        }
        let length = body.bytes.len();
        self.grow(&mut body.share, length)?;
        Ok(body)
    }

    fn grow(&self, share: &mut Share, bytes: usize) -> Result<(), Problem> {
        let bytes = match share.0 {
            Some(_) => bytes,
            None => bytes.saturating_add(HEADROOM),
        };
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        let more = Arc::clone(&self.allowance)
            .try_acquire_many_owned(permits)
            .map_err(|_| {
                Problem::new(
                    ProblemCode::Overloaded,
                    "too many requests are being read or kept; try again soon",
                )
            })?;
        match &mut share.0 {
            Some(held) => held.merge(more),
            none => *none = Some(more),
        }
        Ok(())
    }
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
