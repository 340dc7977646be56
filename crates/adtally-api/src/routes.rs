//! The table of all routes of the API.

#[cfg(test)]
mod tests;

use actix_web::guard::fn_guard;
use actix_web::http::Method;
use actix_web::web::{ServiceConfig, resource, route, to};
use actix_web::{Handler, HttpRequest, Responder, Route};

use crate::docs;
use crate::http::problem::Problem;
use crate::ingest::{click, events, pixel};
use crate::manage::{ads, advertisers, dead_letters, stats};

/// What the caller of a route must be allowed to do. Not enforced yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    /// Nothing: browsers, and people who look at the description.
    Open,
    /// Send events.
    Ingest,
    /// Read totals.
    Stats,
    /// Read and change ads and advertisers.
    Manage,
    /// Read and change what the system could not process, which may hold visitors' data.
    Admin,
}

/// A path, its scope, and what answers there.
pub(crate) struct RouteEntry {
    pub(crate) path: &'static str,
    #[cfg_attr(not(test), expect(dead_code, reason = "not enforced yet"))]
    pub(crate) scope: Scope,
    handlers: Vec<MethodHandler>,
}

/// What answers some methods of a path.
struct MethodHandler {
    methods: &'static [Method],
    route: Route,
}

/// The routes of `/v1` and the API's pages; those for health come from adtally-service.
#[rustfmt::skip]
pub(crate) fn table() -> Vec<RouteEntry> {
    use Scope::{Admin, Ingest, Manage, Open, Stats};
    vec![
        at(Ingest, "/v1/events", [post(events::post_events)]),
        at(Open, "/v1/pixel.gif", [get(pixel::pixel)]),
        at(Open, "/v1/click/{ad_id}", [get(click::click)]),
        at(Manage, "/v1/advertisers", [get(advertisers::list), post(advertisers::create)]),
        at(Manage, "/v1/advertisers/{id}", [get(advertisers::get), patch(advertisers::change)]),
        at(Manage, "/v1/ads", [get(ads::list), post(ads::create)]),
        at(Manage, "/v1/ads/{id}", [get(ads::get), patch(ads::change)]),
        at(Stats, "/v1/ads/{ad_id}/stats", [get(stats::of_ad)]),
        at(Stats, "/v1/stats", [get(stats::of_all)]),
        at(Admin, "/v1/dead-letters", [get(dead_letters::list)]),
        at(Admin, "/v1/dead-letters/requeue", [post(dead_letters::requeue_many)]),
        at(Admin, "/v1/dead-letters/discard", [post(dead_letters::discard_many)]),
        at(Admin, "/v1/dead-letters/{letter_id}", [get(dead_letters::get)]),
        at(Admin, "/v1/dead-letters/{letter_id}/requeue", [post(dead_letters::requeue)]),
        at(Admin, "/v1/dead-letters/{letter_id}/discard", [post(dead_letters::discard)]),
        at(Open, "/openapi.json", [get(docs::description)]),
        at(Open, "/api-docs/openapi.json", [get(docs::description)]),
        at(Open, "/api-docs", [get(docs::to_page)]),
        at(Open, "/api-docs/{file:.*}", [get(docs::page)]),
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
        let routes = entry.handlers.into_iter().map(|handler| handler.route);
        let resource = routes.fold(resource(entry.path), actix_web::Resource::route);
        config.service(resource.default_service(others));
    }
}

impl RouteEntry {
    /// The methods that are answered, as the header `allow` lists them.
    pub(crate) fn allowed(&self) -> String {
        let methods = self.handlers.iter().flat_map(|handler| handler.methods);
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

fn at<const N: usize>(
    scope: Scope,
    path: &'static str,
    handlers: [MethodHandler; N],
) -> RouteEntry {
    RouteEntry {
        path,
        scope,
        handlers: handlers.into(),
    }
}

/// HEAD goes wherever GET does (RFC 9110, 9.1); the HTTP layer leaves the body out.
fn get<F: Handler<Args>, Args: actix_web::FromRequest + 'static>(handler: F) -> MethodHandler
where
    F::Output: Responder + 'static,
{
    on(&[Method::GET, Method::HEAD], handler)
}

fn patch<F: Handler<Args>, Args: actix_web::FromRequest + 'static>(handler: F) -> MethodHandler
where
    F::Output: Responder + 'static,
{
    on(&[Method::PATCH], handler)
}

fn post<F: Handler<Args>, Args: actix_web::FromRequest + 'static>(handler: F) -> MethodHandler
where
    F::Output: Responder + 'static,
{
    on(&[Method::POST], handler)
}

/// `handler` for `methods`. actix's own guard also notes in each request which methods it was asked for. Only
/// the answer to other methods needs that, and [`configure`] gives it.
fn on<F: Handler<Args>, Args: actix_web::FromRequest + 'static>(
    methods: &'static [Method],
    handler: F,
) -> MethodHandler
where
    F::Output: Responder + 'static,
{
    let guard = fn_guard(move |request| methods.contains(&request.head().method));
    MethodHandler {
        methods,
        route: route().guard(guard).to(handler),
    }
}
