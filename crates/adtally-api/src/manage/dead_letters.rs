//! `/v1/dead-letters`: what could not be processed, and what is to become of it.

mod body;
mod bulk;
mod parameters;
#[cfg(test)]
mod tests;

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use adtally_broker::Publisher;
use adtally_store::Store;
use uuid::Uuid;

use crate::dead_letters::{DeadLetterAction, DeadLetterOutcome, WholeDeadLetter};
use crate::http::body::BodyReader;
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::manage::fields;

pub(crate) use body::{BulkBody, BulkResult, DeadLetterList};
use body::{DeadLetterChange, MAX_LIMIT};
use parameters::{cursor, filter};

const DEFAULT_LIMIT: usize = 100;

/// Dead letters, newest first
///
/// They are listed without their bodies.
#[utoipa::path(
    get, path = "/v1/dead-letters", tag = "dead letters",
    params(
        parameters::DeadLetterParameters,
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1_000, description = "The most letters to answer; 100 when left out"),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the answer before; repeat the other parameters with it"),
    ),
    responses(
        (status = 200, body = DeadLetterList),
        (status = 400, description = "A parameter is wrong"),
    )
)]
pub(crate) async fn list(
    request: HttpRequest,
    store: Data<Store>,
) -> Result<HttpResponse, Problem> {
    let known = ["reason", "ad_id", "from", "to", "state", "limit", "cursor"];
    let query = Query::parse(request.query_string(), &known)?;
    let limit = query.limit("limit", DEFAULT_LIMIT, MAX_LIMIT)?;
    let after = query.get("cursor").map(cursor).transpose()?;
    let limit = u32::try_from(limit).unwrap_or(u32::MAX);
    let filter = filter(&query)?;
    let page = store.dead_letters(filter, after, limit).await?;
    Ok(HttpResponse::Ok().json(DeadLetterList::from(page)))
}

/// One dead letter
///
/// With its body and everything its message said about itself.
#[utoipa::path(
    get, path = "/v1/dead-letters/{letter_id}", tag = "dead letters",
    params(("letter_id" = String, Path, format = "uuid", description = "The letter's id")),
    responses(
        (status = 200, body = WholeDeadLetter),
        (status = 404, description = "No such dead letter"),
    )
)]
pub(crate) async fn get(request: HttpRequest, store: Data<Store>) -> Result<HttpResponse, Problem> {
    let letter = store.dead_letter(id(&request)?).await?;
    let letter = letter.ok_or_else(|| Problem::not_found("dead letter"))?;
    Ok(HttpResponse::Ok().json(WholeDeadLetter::from(letter)))
}

/// Put a dead letter back on its queue
///
/// It is answered once the broker has it. A letter that was requeued before and has not failed since
/// is left alone unless `again` is 1; its event counts once however often it is sent.
#[utoipa::path(
    post, path = "/v1/dead-letters/{letter_id}/requeue", tag = "dead letters",
    params(
        ("letter_id" = String, Path, format = "uuid", description = "The letter's id"),
        ("again" = Option<String>, Query, pattern = "^[01]$", description = "1 to send it also when it was requeued before"),
    ),
    responses(
        (status = 200, body = DeadLetterChange),
        (status = 404, description = "No such dead letter"),
        (status = 422, description = "It cannot be put back"),
        (status = 503, description = "The broker did not take it"),
    )
)]
pub(crate) async fn requeue(
    request: HttpRequest,
    store: Data<Store>,
    publisher: Data<Publisher>,
) -> Result<HttpResponse, Problem> {
    let query = Query::parse(request.query_string(), &["again"])?;
    let again = match query.get("again") {
        None | Some("0") => false,
        Some("1") => true,
        Some(_) => return Err(Problem::invalid_parameter("again", "again is 0 or 1")),
    };
    let action = requeue_with(&publisher, again);
    change(&store, id(&request)?, &action).await
}

/// Give a dead letter up
///
/// It stays where it is and may still be requeued. One that was requeued cannot be discarded: it is
/// stored or on its way.
#[utoipa::path(
    post, path = "/v1/dead-letters/{letter_id}/discard", tag = "dead letters",
    params(("letter_id" = String, Path, format = "uuid", description = "The letter's id")),
    responses(
        (status = 200, body = DeadLetterChange),
        (status = 404, description = "No such dead letter"),
        (status = 409, description = "It was requeued"),
    )
)]
pub(crate) async fn discard(
    request: HttpRequest,
    store: Data<Store>,
) -> Result<HttpResponse, Problem> {
    change(&store, id(&request)?, &DeadLetterAction::Discard).await
}

/// Put many dead letters back on their queues
///
/// Those that everything given applies to, oldest first; those in state `new` unless `ids` or `state`
/// say otherwise. Ask again with `next_cursor` until it is null.
#[utoipa::path(
    post, path = "/v1/dead-letters/requeue", tag = "dead letters",
    request_body(content = BulkBody, content_type = "application/json"),
    responses(
        (status = 200, body = BulkResult),
        (status = 422, description = "Fields are wrong, or none is given"),
        (status = 503, description = "The broker took none"),
    )
)]
pub(crate) async fn requeue_many(
    request: HttpRequest,
    payload: Payload,
    bodies: Data<BodyReader>,
    store: Data<Store>,
    publisher: Data<Publisher>,
) -> Result<HttpResponse, Problem> {
    let body: BulkBody = fields::read(&bodies, &request, payload).await?;
    let action = requeue_with(&publisher, body.again());
    let result = bulk::run(&store, body.validated()?, &action).await?;
    Ok(HttpResponse::Ok().json(result))
}

/// Give many dead letters up
///
/// Those that everything given applies to, oldest first; those in state `new` unless `ids` or `state`
/// say otherwise. Ask again with `next_cursor` until it is null.
#[utoipa::path(
    post, path = "/v1/dead-letters/discard", tag = "dead letters",
    request_body(content = BulkBody, content_type = "application/json"),
    responses(
        (status = 200, body = BulkResult),
        (status = 422, description = "Fields are wrong, or none is given"),
    )
)]
pub(crate) async fn discard_many(
    request: HttpRequest,
    payload: Payload,
    bodies: Data<BodyReader>,
    store: Data<Store>,
) -> Result<HttpResponse, Problem> {
    let body: BulkBody = fields::read(&bodies, &request, payload).await?;
    let result = bulk::run(&store, body.validated()?, &DeadLetterAction::Discard).await?;
    Ok(HttpResponse::Ok().json(result))
}

fn requeue_with(publisher: &Publisher, again: bool) -> DeadLetterAction {
    DeadLetterAction::Requeue {
        publisher: publisher.clone(),
        again,
    }
}

async fn change(
    store: &Store,
    id: Uuid,
    action: &DeadLetterAction,
) -> Result<HttpResponse, Problem> {
    let outcomes = action.apply(store, vec![id]).await?;
    let already = match outcomes.into_iter().next() {
        Some((_, DeadLetterOutcome::Done)) => false,
        Some((_, DeadLetterOutcome::Already)) => true,
        Some((_, DeadLetterOutcome::Failed(fault))) => return Err(fault.into()),
        None => return Err(Problem::not_found("dead letter")),
    };
    Ok(HttpResponse::Ok().json(DeadLetterChange::new(id, action, already)))
}

fn id(request: &HttpRequest) -> Result<Uuid, Problem> {
    let id = request.match_info().get("letter_id");
    let id = id.and_then(|id| Uuid::try_parse(id).ok());
    id.ok_or_else(|| Problem::not_found("dead letter"))
}
