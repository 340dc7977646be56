//! `POST /v1/events`: events from ad servers, kept before they are answered.

mod answer;
#[cfg(test)]
mod tests;

use actix_web::http::StatusCode;
use actix_web::http::header::HeaderName;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use adtally_domain::{RejectCode, Timestamp};

use crate::batch::entries;
use crate::body::{Body, MediaType, Received, Share};
use crate::context::Context;
use crate::judge::{Judged, judge};
use crate::keeper::Kept;
use crate::problem::{Problem, ProblemBody, ProblemCode};
use crate::query::Query;

pub(crate) use answer::EventsAnswer;

/// The longest body, in bytes, also once it is decompressed.
pub(crate) const MAX_BODY_BYTES: usize = 4 * 1_024 * 1_024;

const SOURCE: HeaderName = HeaderName::from_static("x-adtally-source");
const SOURCE_BYTES: usize = 64;

/// Send events
///
/// One event, an array of 1 to 10,000, or one per line as NDJSON; at most 4 MiB, plain or gzip.
/// Each event is judged alone. The answer comes once every accepted event is safe; a retry repeats
/// the same body, and each event counts once.
///
/// Gzip may unfold to a hundred times its size, or 512 KiB if that is more, and have 256 members.
#[utoipa::path(
    post,
    path = "/v1/events",
    tag = "events",
    params(
        ("ids" = Option<u8>, Query, description = "1 adds the events' ids to the answer"),
        ("x-adtally-source" = Option<String>, Header, max_length = 64, description = "Who sends the events"),
    ),
    request_body(content(
        (crate::openapi::EventOrEvents = "application/json"),
        (crate::openapi::EventBody = "application/x-ndjson"),
    )),
    responses(
        (status = 202, description = "Every event not listed in `rejected` is safe", body = EventsAnswer),
        (status = 422, description = "No event is acceptable", body = EventsAnswer),
        (status = 400, description = "The body is not JSON, or a parameter or header is wrong", body = ProblemBody<'static>, content_type = "application/problem+json"),
        (status = 408, description = "The body did not arrive in time, or stopped", body = ProblemBody<'static>, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large or holds too many events", body = ProblemBody<'static>, content_type = "application/problem+json"),
        (status = 415, description = "The content type or encoding is not supported", body = ProblemBody<'static>, content_type = "application/problem+json"),
        (status = 503, description = "The events could not be kept; send the same body again after `retry-after` seconds", body = ProblemBody<'static>, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn post_events(
    request: HttpRequest,
    payload: Payload,
    context: Data<Context>,
) -> Result<HttpResponse, Problem> {
    let order = Order {
        with_ids: wants_ids(&request)?,
        source: source(&request)?,
        media_type: MediaType::of(&request)?,
        now: (context.clock)(),
    };
    let received = context
        .bodies
        .receive(&request, payload, MAX_BODY_BYTES)
        .await?;
    match received.open_at_once()? {
        Ok(body) => {
            let judged = order.judge(&context, body)?;
            let (status, answer, share) = answer(&context, judged).await?;
            Ok(holding(share, HttpResponse::build(status).json(answer)))
        }
        Err(received) => large(context, order.into_owned(), received).await,
    }
}

/// What a request wants to be done with its body.
struct Order<S> {
    with_ids: bool,
    source: Option<S>,
    media_type: MediaType,
    /// When it came.
    now: Timestamp,
}

/// What is in a body, and the memory it takes until it is answered.
struct JudgedBody {
    judged: Judged,
    /// For how many items ids are wanted.
    ids: Option<usize>,
    /// Held until the answer: events may take more memory than their body.
    share: Share,
}

impl<S: AsRef<str>> Order<S> {
    fn judge(&self, context: &Context, body: Body) -> Result<JudgedBody, Problem> {
        let entries = entries(body.bytes(), self.media_type)?;
        let ids = self.with_ids.then_some(entries.len());
        let source = self.source.as_ref().map(AsRef::as_ref);
        let judged = judge(&context.intake, entries, self.now, source);
        // Many requests wait at the same time: what they no longer need would crowd the processor's
        // caches.
        let share = body.exchange(judged.bytes())?;
        Ok(JudgedBody { judged, ids, share })
    }
}

impl Order<&str> {
    fn into_owned(self) -> Order<String> {
        Order {
            with_ids: self.with_ids,
            source: self.source.map(str::to_owned),
            media_type: self.media_type,
            now: self.now,
        }
    }
}

/// Does all of a large request elsewhere, down to the text of its answer.
async fn large(
    context: Data<Context>,
    order: Order<String>,
    received: Received,
) -> Result<HttpResponse, Problem> {
    let large = context.large_bodies.clone();
    let turns = large.clone();
    let request = async move {
        let judging = context.clone();
        let judge = move || order.judge(&judging, received.open()?);
        let judged = turns.compute(judge).await??;
        let (status, answer, share) = answer(&context, judged).await?;
        let text = turns.compute(move || serde_json::to_vec(&answer)).await?;
        Ok((status, text.map_err(|_| Problem::internal())?, share))
    };
    let (status, text, share) = large.request(request).await?;
    let response = HttpResponse::build(status)
        .content_type("application/json")
        .body(text);
    Ok(holding(share, response))
}

/// Has `response` take over the memory of its request, which is there while others have none.
fn holding(share: Share, mut response: HttpResponse) -> HttpResponse {
    response.extensions_mut().insert(share);
    response
}

/// Keeps what is acceptable, and says what became of everything.
async fn answer(
    context: &Context,
    body: JudgedBody,
) -> Result<(StatusCode, EventsAnswer, Share), Problem> {
    let JudgedBody { judged, ids, share } = body;
    for (_, rejection) in &judged.refused {
        context.metrics.rejected(rejection.code, 1);
    }
    if judged.events.is_empty() {
        let answer = EventsAnswer::new(judged.refused, ids);
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, answer, share));
    }
    let answer = keep(context, judged, ids).await?;
    Ok((StatusCode::ACCEPTED, answer, share))
}

/// Keeps the acceptable events and makes the answer, with ids when `ids` tells for how many items.
async fn keep(
    context: &Context,
    judged: Judged,
    ids: Option<usize>,
) -> Result<EventsAnswer, Problem> {
    let sent = judged.acceptable;
    let kept = context.keeper.keep(judged.events).await;
    let count = |wanted| kept.iter().filter(|kept| **kept == wanted).count();
    // An event whose fate is unknown may still be counted, so it can be listed neither as accepted
    // nor as rejected: the whole request is to be sent again, and counts once.
    if kept.len() != sent.len() || count(Kept::Unknown) > 0 || count(Kept::Yes) == 0 {
        context
            .metrics
            .rejected(RejectCode::NotKept, sent.len() as u64);
        let detail = "send the same body again: an event that was kept already counts once";
        return Err(Problem::new(ProblemCode::NotKept, detail));
    }
    let mut answer = EventsAnswer::new(judged.refused, ids);
    for (event, kept) in sent.into_iter().zip(kept) {
        if kept == Kept::Yes {
            context.metrics.accepted(event.kind, 1);
            answer.accept(event.index, event.id);
        } else {
            context.metrics.rejected(RejectCode::NotKept, 1);
            answer.not_kept(event.index);
        }
    }
    Ok(answer.in_order())
}

fn wants_ids(request: &HttpRequest) -> Result<bool, Problem> {
    let query = Query::parse(request.query_string(), &["ids"])?;
    match query.get("ids") {
        None | Some("0" | "false") => Ok(false),
        Some("1" | "true") => Ok(true),
        Some(_) => Err(Problem::invalid_parameter("ids", "ids is 1 or 0")),
    }
}

fn source(request: &HttpRequest) -> Result<Option<&str>, Problem> {
    let mut values = request.headers().get_all(SOURCE);
    let (Some(value), another) = (values.next(), values.next()) else {
        return Ok(None);
    };
    let text = std::str::from_utf8(value.as_bytes()).ok();
    let is_valid = |text: &&str| text.len() <= SOURCE_BYTES && !text.chars().any(char::is_control);
    match text.filter(is_valid) {
        Some(text) if another.is_none() => Ok(Some(text).filter(|text| !text.is_empty())),
        _ => {
            let detail =
                format!("it is one text of at most {SOURCE_BYTES} bytes, no control character");
            Err(Problem::new(ProblemCode::InvalidSource, detail))
        }
    }
}
