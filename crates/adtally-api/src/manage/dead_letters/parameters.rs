//! The queries of the routes for dead letters.

use adtally_domain::AdId;
use adtally_store::{DeadLetterCursor, DeadLetterFilter, DeadLetterState};
use utoipa::IntoParams;

use crate::http::ids::id_number;
use crate::http::problem::Problem;
use crate::http::query::Query;

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

/// The dead letters that `query` asks for.
///
/// # Errors
/// A parameter that is wrong.
pub(super) fn filter(query: &Query<'_>) -> Result<DeadLetterFilter, Problem> {
    let ad_id = query.get("ad_id").map(|text| {
        let ad = id_number(text).and_then(AdId::new);
        ad.ok_or_else(|| {
            let detail = "ad_id is a whole number from 1 to 9223372036854775807";
            Problem::invalid_parameter("ad_id", detail)
        })
    });
    let state = query.get("state").map(|text| {
        let detail = "state is new, requeued or discarded";
        DeadLetterState::named(text).ok_or_else(|| Problem::invalid_parameter("state", detail))
    });
    Ok(DeadLetterFilter {
        ids: None,
        reason: query.get("reason").map(without_nul).transpose()?,
        ad_id: ad_id.transpose()?,
        from: query.timestamp("from")?,
        to: query.timestamp("to")?,
        state: state.transpose()?,
    })
}

/// PostgreSQL takes no NUL in a text.
fn without_nul(reason: &str) -> Result<String, Problem> {
    if reason.contains('\0') {
        return Err(Problem::invalid_parameter("reason", "reason holds NUL"));
    }
    Ok(reason.to_owned())
}

/// Where the answer before ended.
///
/// # Errors
/// A text that is not a `next_cursor`.
pub(super) fn cursor(text: &str) -> Result<DeadLetterCursor, Problem> {
    DeadLetterCursor::parse(text).ok_or_else(|| {
        Problem::invalid_parameter("cursor", "cursor is not a next_cursor of this list")
    })
}
