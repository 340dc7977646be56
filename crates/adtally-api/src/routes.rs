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

use actix_web::guard::fn_guard;
use actix_web::http::Method;
use actix_web::web::{ServiceConfig, resource, route, to};
use actix_web::{HttpRequest, Resource, Route};

use crate::problem::Problem;
use crate::query::id_number;

/// Adds all routes of `/v1` and the API's pages.
pub(crate) fn configure(config: &mut ServiceConfig) {
    config
        .service(only("/v1/events", "POST", [post().to(events::post_events)]))
        .service(only(
            "/v1/pixel.gif",
            "GET, HEAD",
            [get().to(pixel::pixel), head().to(pixel::pixel)],
        ))
        .service(only(
            "/v1/click/{ad_id}",
            "GET, HEAD",
            [get().to(click::click), head().to(click::click)],
        ))
        .service(only(
            "/v1/advertisers",
            "GET, POST",
            [get().to(advertisers::list), post().to(advertisers::create)],
        ))
        .service(only(
            "/v1/advertisers/{id}",
            "GET, PATCH",
            [get().to(advertisers::get), patch().to(advertisers::change)],
        ))
        .service(only(
            "/v1/ads",
            "GET, POST",
            [get().to(ads::list), post().to(ads::create)],
        ))
        .service(only(
            "/v1/ads/{id}",
            "GET, PATCH",
            [get().to(ads::get), patch().to(ads::change)],
        ))
        .service(only(
            "/v1/ads/{ad_id}/stats",
            "GET",
            [get().to(stats::of_ad)],
        ))
        .service(only("/v1/stats", "GET", [get().to(stats::of_all)]))
        .configure(dead_letters)
        .service(only("/openapi.json", "GET", [get().to(docs::description)]))
        .service(only(
            "/api-docs/openapi.json",
            "GET",
            [get().to(docs::description)],
        ))
        .service(only("/api-docs", "GET", [get().to(docs::to_page)]))
        .service(only("/api-docs/{file:.*}", "GET", [get().to(docs::page)]));
}

fn dead_letters(config: &mut ServiceConfig) {
    config
        .service(only(
            "/v1/dead-letters",
            "GET",
            [get().to(dead_letters::list)],
        ))
        .service(only(
            "/v1/dead-letters/requeue",
            "POST",
            [post().to(dead_letters::requeue_many)],
        ))
        .service(only(
            "/v1/dead-letters/discard",
            "POST",
            [post().to(dead_letters::discard_many)],
        ))
        .service(only(
            "/v1/dead-letters/{letter_id}",
            "GET",
            [get().to(dead_letters::get)],
        ))
        .service(only(
            "/v1/dead-letters/{letter_id}/requeue",
            "POST",
            [post().to(dead_letters::requeue)],
        ))
        .service(only(
            "/v1/dead-letters/{letter_id}/discard",
            "POST",
            [post().to(dead_letters::discard)],
        ));
}

/// What answers where no route does: a path nobody has, or a method the path does not have.
pub(crate) async fn nothing_here(request: HttpRequest) -> Result<&'static str, Problem> {
    // The routes for health bring no answer of their own to other methods than GET.
    match request.match_pattern() {
        Some(_) => Err(Problem::method_not_allowed("GET")),
        None => Err(Problem::not_found("route")),
    }
}

/// The route `path` with `routes`; other methods are told which are allowed.
fn only<const N: usize>(path: &str, allowed: &'static str, routes: [Route; N]) -> Resource {
    let others = to(move || async move { Err::<&str, _>(Problem::method_not_allowed(allowed)) });
    routes
        .into_iter()
        .fold(resource(path), Resource::route)
        .default_service(others)
}

fn get() -> Route {
    on(Method::GET)
}

fn head() -> Route {
    on(Method::HEAD)
}

fn patch() -> Route {
    on(Method::PATCH)
}

fn post() -> Route {
    on(Method::POST)
}

/// A route for `method`. actix's own guard also notes in each request which methods it asked for, for the
/// answer to others, which [`only`] gives.
fn on(method: Method) -> Route {
    route().guard(fn_guard(move |request| request.head().method == method))
}

/// The id in the path of `request`, 1 to 2^63-1.
fn id_in_path(request: &HttpRequest, name: &str) -> Option<i64> {
    request.match_info().get(name).and_then(id_number)
}
