//! `POST /v1/events`: events from ad servers, durable before they are answered.

mod answer;
mod body;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::http::header::HeaderName;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use adtally_domain::{Intake, RejectCode, Timestamp};

use crate::http::body::{Body, BodyReader, Received, Reservation};
use crate::http::media_type::MediaType;
use crate::http::problem::{Problem, ProblemCode};
use crate::http::query::Query;
use crate::ingest::large_bodies::LargeBodyPool;
use crate::ingest::metrics::IngestMetrics;
use crate::ingest::parse;
use crate::ingest::sink::{Durability, EventSink};
use crate::ingest::validate::{Validated, validate};

pub(crate) use answer::EventsAnswer;

/// The longest body, in bytes, also once it is decompressed.
pub(crate) const MAX_BODY_BYTES: usize = 4 * 1_024 * 1_024;

const SOURCE: HeaderName = HeaderName::from_static("x-adtally-source");
const SOURCE_BYTES: usize = 64;

/// What the route needs.
pub(crate) struct EventsContext {
    /// Which events are let in.
    pub(crate) intake: Intake,
    /// Where valid events go.
    pub(crate) sink: Arc<dyn EventSink>,
    /// Runs the work on large bodies.
    pub(crate) large_bodies: LargeBodyPool,
    /// Counts events.
    pub(crate) metrics: IngestMetrics,
    /// The wall clock.
    pub(crate) clock: fn() -> Timestamp,
}

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
        (body::EventOrEvents = "application/json"),
        (body::EventBody = "application/x-ndjson"),
    )),
    responses(
        (status = 202, description = "Every event not listed in `rejected` is safe", body = EventsAnswer),
        (status = 422, description = "No event is acceptable", body = EventsAnswer),
        (status = 400, description = "The body is not JSON, or a parameter or header is wrong"),
        (status = 408, description = "The body did not arrive in time, or stopped"),
        (status = 413, description = "The body is too large or holds too many events"),
        (status = 415, description = "The content type or encoding is not supported"),
        (status = 503, description = "The events could not be kept; send the same body again after `retry-after` seconds"),
    )
)]
pub(crate) async fn post_events(
    request: HttpRequest,
    payload: Payload,
    bodies: Data<BodyReader>,
    context: Data<EventsContext>,
) -> Result<HttpResponse, Problem> {
    let order = Order {
        with_ids: wants_ids(&request)?,
        source: source(&request)?,
        media_type: MediaType::of(&request)?,
        now: (context.clock)(),
    };
    let received = bodies.receive(&request, payload, MAX_BODY_BYTES).await?;
    match received.decode_inline()? {
        Ok(body) => {
            let validated = order.validate(&context, body)?;
            let (status, answer, reservation) = answer(&context, validated).await?;
            Ok(holding(
                reservation,
                HttpResponse::build(status).json(answer),
            ))
        }
        Err(received) => answer_large(context, order.into_owned(), received).await,
    }
}

/// What a request wants to be done with its body.
struct Order<S> {
    with_ids: bool,
    source: Option<S>,
    media_type: MediaType,
    /// When it was received.
    now: Timestamp,
}

/// What is in a body, and the memory it takes until it is answered.
struct ValidatedBody {
    validated: Validated,
    /// For how many items ids are wanted.
    ids: Option<usize>,
    /// Held until the answer: events may take more memory than their body.
    reservation: Reservation,
}

impl<S: AsRef<str>> Order<S> {
    fn validate(&self, context: &EventsContext, body: Body) -> Result<ValidatedBody, Problem> {
        let items = parse::events(body.bytes(), self.media_type)?;
        let ids = self.with_ids.then_some(items.len());
        let source = self.source.as_ref().map(AsRef::as_ref);
        let validated = validate(&context.intake, items, self.now, source);
        // Many requests wait at the same time: what they no longer need would crowd the processor's
        // caches.
        let reservation = body.swap_for(validated.bytes())?;
        Ok(ValidatedBody {
            validated,
            ids,
            reservation,
        })
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

/// Answers a large request on other threads, down to the text of its answer.
async fn answer_large(
    context: Data<EventsContext>,
    order: Order<String>,
    received: Received,
) -> Result<HttpResponse, Problem> {
    let threads = context.large_bodies.clone();
    let request = async move {
        let threads = context.large_bodies.clone();
        let validating = context.clone();
        let validate = move || order.validate(&validating, received.decode()?);
        let validated = threads.spawn_blocking(validate).await??;
        let (status, answer, reservation) = answer(&context, validated).await?;
        let write = move || serde_json::to_vec(&answer);
        let text = threads.spawn_blocking(write).await?;
        Ok((status, text.map_err(|_| Problem::internal())?, reservation))
    };
    let (status, text, reservation) = threads.spawn(request).await?;
    let response = HttpResponse::build(status)
        .content_type("application/json")
        .body(text);
    Ok(holding(reservation, response))
}

/// Gives `response` the memory of its request, which it has even when none is left for others.
fn holding(reservation: Reservation, mut response: HttpResponse) -> HttpResponse {
    response.extensions_mut().insert(reservation);
    response
}

/// Sends the valid events to the sink and makes the answer.
async fn answer(
    context: &EventsContext,
    body: ValidatedBody,
) -> Result<(StatusCode, EventsAnswer, Reservation), Problem> {
    let ValidatedBody {
        validated,
        ids,
        reservation,
    } = body;
    for (_, rejection) in &validated.rejected {
        context.metrics.rejected(rejection.code, 1);
    }
    if validated.events.is_empty() {
        let answer = EventsAnswer::new(validated.rejected, ids);
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, answer, reservation));
    }
    let answer = send(context, validated, ids).await?;
    Ok((StatusCode::ACCEPTED, answer, reservation))
}

/// Sends the valid events to the sink. The answer has ids when `ids` says for how many items.
async fn send(
    context: &EventsContext,
    validated: Validated,
    ids: Option<usize>,
) -> Result<EventsAnswer, Problem> {
    let sent = validated.valid;
    let outcomes = context.sink.send(validated.events).await;
    let count = |wanted| outcomes.iter().filter(|found| **found == wanted).count();
    let is_answered = outcomes.len() == sent.len() && count(Durability::Unknown) == 0;
    // An event of unknown durability may still be counted, so it can be listed neither as accepted nor as
    // rejected: the whole request is to be sent again, and counts once.
    if !is_answered || count(Durability::Durable) == 0 {
        context
            .metrics
            .rejected(RejectCode::NotKept, sent.len() as u64);
        let detail = "send the same body again: an event that was kept already counts once";
        return Err(Problem::new(ProblemCode::NotKept, detail));
    }
    let mut answer = EventsAnswer::new(validated.rejected, ids);
    for (event, outcome) in sent.into_iter().zip(outcomes) {
        if outcome == Durability::Durable {
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
