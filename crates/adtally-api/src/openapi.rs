//! The API's own description, made from the code of its routes.

#[cfg(test)]
mod tests;

use utoipa::openapi::schema::{Object, Type};
use utoipa::openapi::{ContentBuilder, HeaderBuilder, Ref, ResponseBuilder};
use utoipa::{IntoParams, Modify, OpenApi, ToSchema};

use crate::routes::{ads, advertisers, click, dead_letters, events, pixel, stats};

/// The whole description.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "AdTally",
        description = "Counts every ad impression and click exactly once and stores each ad's totals \
                       per hour and per day. Errors are RFC 9457 `application/problem+json` with a \
                       stable `code`.",
    ),
    modifiers(&AnyProblem),
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

/// Any route may answer a problem, such as 404, 415 or 503, besides what it lists itself.
struct AnyProblem;

impl Modify for AnyProblem {
    fn modify(&self, description: &mut utoipa::openapi::OpenApi) {
        let schema = Ref::from_schema_name("Problem");
        let content = ContentBuilder::new().schema(Some(schema)).build();
        let response = ResponseBuilder::new()
            .description("A problem")
            .content("application/problem+json", content)
            .build();
        let of_database = |text: &str, retry: bool| {
            let content = ContentBuilder::new()
                .schema(Some(Ref::from_schema_name("Problem")))
                .build();
            let response = ResponseBuilder::new()
                .description(text)
                .content("application/problem+json", content);
            if !retry {
                return response.build();
            }
            let seconds = Object::with_type(Type::Integer);
            let after = HeaderBuilder::new().schema(Some(seconds)).build();
            response.header("retry-after", after).build()
        };
        let away = of_database("The database is away, or too busy; try again", true);
        let refused = of_database(
            "Something is wrong with the server; trying again does not help",
            false,
        );
        for item in description.paths.paths.values_mut() {
            let operations = [&mut item.get, &mut item.post, &mut item.patch];
            for operation in operations.into_iter().flatten() {
                let reads_database = operation.tags.iter().flatten().any(|tag| {
                    ["stats", "ads", "advertisers", "dead letters"].contains(&tag.as_str())
                });
                let responses = &mut operation.responses.responses;
                if reads_database {
                    for (status, response) in [("503", &away), ("500", &refused)] {
                        let named = responses.entry(status.to_owned());
                        named.or_insert_with(|| response.clone().into());
                    }
                }
                responses.insert("default".to_owned(), response.clone().into());
            }
        }
    }
}

/// An impression or a click. Unknown fields are ignored.
#[derive(ToSchema)]
#[schema(as = Event)]
#[expect(
    dead_code,
    reason = "only its shape matters: what is sent is read as an EventInput"
)]
pub(crate) struct EventBody {
    /// The ad. Events of ads that were never registered count all the same.
    #[schema(minimum = 1)]
    ad_id: i64,
    /// What happened: `impression` or `click`.
    #[schema(value_type = String, pattern = "^(impression|click)$", example = "impression")]
    kind: String,
    /// The sender's own name for the event, by which a retry counts once. A UUIDv7 within 2 s of
    /// `occurred_at`, or without it, is the event's time; any other text needs `occurred_at`.
    #[schema(
        min_length = 1,
        max_length = 128,
        pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$"
    )]
    event_id: Option<String>,
    /// When it happened, RFC 3339 with offset; now when left out.
    #[schema(format = DateTime, example = "2026-11-22T06:00:00.123Z")]
    occurred_at: Option<String>,
    /// The event id of the impression a click belongs to.
    #[schema(format = "uuid")]
    impression_id: Option<String>,
    /// The sender's own name for the visitor.
    #[schema(max_length = 128, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$")]
    visitor_id: Option<String>,
    /// The visitor's address; only its network is kept unless the operator says otherwise.
    #[schema(example = "203.0.113.9")]
    ip: Option<String>,
    /// The visitor's browser.
    #[schema(max_length = 512, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$")]
    user_agent: Option<String>,
    /// The page the ad was on.
    #[schema(max_length = 1024, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$")]
    referer: Option<String>,
    /// The place on the page.
    #[schema(max_length = 128, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$")]
    placement: Option<String>,
}

/// One event, or 1 to 10,000.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its shape matters")]
pub(crate) enum EventOrEvents {
    /// One event.
    One(EventBody),
    /// Several events.
    Many(Vec<EventBody>),
}

/// Which part of a list to answer.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "only its shape matters: the query is read parameter by parameter"
)]
pub(crate) struct PageParameters {
    /// The most rows to answer; 100 when left out.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// The `next_cursor` of the answer before.
    cursor: Option<String>,
}

/// Which hours or days to answer.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "only its shape matters: the query is read parameter by parameter"
)]
pub(crate) struct PeriodParameters {
    /// `hour` or `day`; `hour` when left out.
    #[param(pattern = "^(hour|day)$")]
    granularity: Option<String>,
    /// The first instant, RFC 3339 with offset, widened to a whole bucket; 24 hours or 30 days
    /// before `to` when left out.
    #[param(format = DateTime)]
    from: Option<String>,
    /// The first instant behind the period, widened to a whole bucket; now when left out.
    #[param(format = DateTime)]
    to: Option<String>,
}

/// Which dead letters to answer: those that everything given applies to.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "only its shape matters: the query is read parameter by parameter"
)]
pub(crate) struct DeadLetterParameters {
    /// The stable name of the reason.
    reason: Option<String>,
    /// The ad of the event.
    #[param(minimum = 1)]
    ad_id: Option<i64>,
    /// First seen at this time or later, RFC 3339 with offset.
    #[param(format = DateTime)]
    from: Option<String>,
    /// First seen before this time, RFC 3339 with offset.
    #[param(format = DateTime)]
    to: Option<String>,
    /// The state.
    #[param(pattern = "^(new|requeued|discarded)$")]
    state: Option<String>,
}

/// What a browser's request may say about the event. A parameter given twice refuses the event.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "only its shape matters: the query is read parameter by parameter"
)]
pub(crate) struct BrowserParameters {
    /// The sender's own name for the event, by which a reload counts once.
    #[param(max_length = 128)]
    event_id: Option<String>,
    /// When it happened, RFC 3339 with offset; now when left out.
    occurred_at: Option<String>,
    /// The event id of the impression a click belongs to.
    impression_id: Option<String>,
    /// The place on the page.
    #[param(max_length = 128)]
    placement: Option<String>,
    /// The ad server's own name for the visitor.
    #[param(max_length = 128)]
    visitor_id: Option<String>,
}
