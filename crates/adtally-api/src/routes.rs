//! The API's routes, one file each.

pub(crate) mod ads;
pub(crate) mod advertisers;
#[cfg(test)]
mod browser_tests;
pub(crate) mod click;
#[cfg(test)]
mod database_tests;
pub(crate) mod dead_letters;
mod docs;
pub(crate) mod events;
mod page;
pub(crate) mod pixel;
pub(crate) mod stats;
#[cfg(test)]
mod table_tests;

use actix_web::guard::fn_guard;
use actix_web::http::Method;
use actix_web::web::{ServiceConfig, resource, route, to};
use actix_web::{Handler, HttpRequest, Responder, Route};

use crate::problem::Problem;
use crate::query::id_number;

/// A path and what answers there.
pub(crate) struct Entry {
    pub(crate) path: &'static str,
    answers: Vec<Answers>,
}

/// What answers some methods of a path.
struct Answers {
    methods: &'static [Method],
    route: Route,
}

/// The routes of `/v1` and the API's pages; those for health come from adtally-service.
pub(crate) fn table() -> Vec<Entry> {
    vec![
        at("/v1/events", [post(events::post_events)]),
        at("/v1/pixel.gif", [get(pixel::pixel)]),
        at("/v1/click/{ad_id}", [get(click::click)]),
        at(
            "/v1/advertisers",
            [get(advertisers::list), post(advertisers::create)],
        ),
        at(
            "/v1/advertisers/{id}",
            [get(advertisers::get), patch(advertisers::change)],
        ),
        at("/v1/ads", [get(ads::list), post(ads::create)]),
        at("/v1/ads/{id}", [get(ads::get), patch(ads::change)]),
        at("/v1/ads/{ad_id}/stats", [get(stats::of_ad)]),
        at("/v1/stats", [get(stats::of_all)]),
        at("/v1/dead-letters", [get(dead_letters::list)]),
        at(
            "/v1/dead-letters/requeue",
            [post(dead_letters::requeue_many)],
        ),
        at(
            "/v1/dead-letters/discard",
            [post(dead_letters::discard_many)],
        ),
        at("/v1/dead-letters/{letter_id}", [get(dead_letters::get)]),
        at(
            "/v1/dead-letters/{letter_id}/requeue",
            [post(dead_letters::requeue)],
        ),
        at(
            "/v1/dead-letters/{letter_id}/discard",
            [post(dead_letters::discard)],
        ),
        at("/openapi.json", [get(docs::description)]),
        at("/api-docs/openapi.json", [get(docs::description)]),
        at("/api-docs", [get(docs::to_page)]),
        at("/api-docs/{file:.*}", [get(docs::page)]),
    ]
}

/// Adds the routes of [`table`].
pub(crate) fn configure(config: &mut ServiceConfig) {
    for entry in table() {
        let allowed = entry.allowed();
        let others = to(move || {
            let problem = Problem::method_not_allowed(allowed.clone());
            async move { Err::<&str, _>(problem) }
        });
        let routes = entry.answers.into_iter().map(|answers| answers.route);
        let resource = routes.fold(resource(entry.path), actix_web::Resource::route);
        config.service(resource.default_service(others));
    }
}

impl Entry {
    /// The methods that are answered, as the header `allow` lists them.
    pub(crate) fn allowed(&self) -> String {
        let methods = self.answers.iter().flat_map(|answers| answers.methods);
        let names: Vec<_> = methods.map(Method::as_str).collect();
        names.join(", ")
    }
}

/// The answer where no route matches: an unknown path, or a method that the path does not have.
pub(crate) async fn not_found(request: HttpRequest) -> Result<&'static str, Problem> {
    // The routes for health do not answer other methods themselves.
    match request.match_pattern() {
        Some(_) => Err(Problem::method_not_allowed("GET, HEAD")),
        None => Err(Problem::not_found("route")),
    }
}

fn at<const N: usize>(path: &'static str, answers: [Answers; N]) -> Entry {
    Entry {
        path,
        answers: answers.into(),
    }
}

/// HEAD goes wherever GET does (RFC 9110, 9.1); the HTTP layer leaves the body out.
fn get<F: Handler<Args>, Args: actix_web::FromRequest + 'static>(handler: F) -> Answers
where
    F::Output: Responder + 'static,
{
    on(&[Method::GET, Method::HEAD], handler)
}

fn patch<F: Handler<Args>, Args: actix_web::FromRequest + 'static>(handler: F) -> Answers
where
    F::Output: Responder + 'static,
{
    on(&[Method::PATCH], handler)
}

fn post<F: Handler<Args>, Args: actix_web::FromRequest + 'static>(handler: F) -> Answers
where
    F::Output: Responder + 'static,
{
    on(&[Method::POST], handler)
}

/// Has `handler` answer `methods`. actix's own guard also notes in each request which methods it asked
/// for, for the answer to others, which [`configure`] gives.
fn on<F: Handler<Args>, Args: actix_web::FromRequest + 'static>(
    methods: &'static [Method],
    handler: F,
) -> Answers
where
    F::Output: Responder + 'static,
{
    let guard = fn_guard(move |request| methods.contains(&request.head().method));
    Answers {
        methods,
        route: route().guard(guard).to(handler),
    }
}

/// The id in the path of `request`, 1 to 2^63-1.
fn id_in_path(request: &HttpRequest, name: &str) -> Option<i64> {
    request.match_info().get(name).and_then(id_number)
}
