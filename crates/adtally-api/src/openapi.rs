//! The API's own description, made from the code of its routes.

mod problems;
#[cfg(test)]
mod tests;

use utoipa::OpenApi;

use crate::http::problem::ProblemBody;
use crate::ingest::{click, events, pixel};
use crate::manage::{ads, advertisers, dead_letters, stats};
use problems::Problems;

/// The whole description.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "AdTally",
        description = "Counts every ad impression and click exactly once and stores each ad's totals \
                       per hour and per day. Errors are RFC 9457 `application/problem+json` with a \
                       stable `code`.",
    ),
    modifiers(&Problems),
    components(schemas(ProblemBody<'_>)),
    paths(
        events::post_events,
        pixel::pixel,
        click::click,
        advertisers::create,
        advertisers::list,
        advertisers::get,
        advertisers::change,
        ads::create,
        ads::list,
        ads::get,
        ads::change,
        stats::of_ad,
        stats::of_all,
        dead_letters::list,
        dead_letters::requeue_many,
        dead_letters::discard_many,
        dead_letters::get,
        dead_letters::requeue,
        dead_letters::discard,
    ),
    tags(
        (name = "events", description = "Events from ad servers"),
        (name = "browsers", description = "Events from browsers"),
        (name = "stats", description = "Totals per hour and per day"),
        (name = "ads", description = "Ads: where a click leads"),
        (name = "advertisers", description = "Who advertises"),
        (name = "dead letters", description = "What could not be processed"),
    )
)]
struct ApiDescription;

/// The description as JSON.
pub(crate) fn json() -> String {
    let mut description = ApiDescription::openapi();
    description.info.version = env!("CARGO_PKG_VERSION").to_owned();
    // A page that shows a licence links to an outside host.
    description.info.license = None;
    description.to_json().unwrap_or_else(|error| {
        log::error!("the API's description cannot be written: {error}");
        "{}".to_owned()
    })
}

/// What each route answers by its description: method, path and status.
pub(crate) fn answers() -> Vec<(&'static str, String, u16)> {
    let mut answers = Vec::new();
    for (path, item) in ApiDescription::openapi().paths.paths {
        let operations = [
            ("GET", item.get),
            ("HEAD", item.head),
            ("POST", item.post),
            ("PATCH", item.patch),
        ];
        for (method, operation) in operations {
            let responses = operation.map(|operation| operation.responses.responses);
            let statuses = responses.unwrap_or_default().into_keys();
            let statuses = statuses.filter_map(|status| status.parse().ok());
            answers.extend(statuses.map(|status| (method, path.clone(), status)));
        }
    }
    answers
}
