//! What `POST /v1/events` takes, for its description.

use utoipa::ToSchema;

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
