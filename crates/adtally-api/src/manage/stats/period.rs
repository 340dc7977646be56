//! The hours or days that a request for totals asks for.

#[cfg(test)]
mod tests;

use std::time::Duration;

use adtally_domain::{ReportingZone, Timestamp};
use adtally_store::{Granularity, StatsSpan};
use chrono::TimeDelta;
use utoipa::IntoParams;

use crate::http::problem::{Problem, ProblemCode};
use crate::http::query::Query;

/// The most buckets one answer covers.
pub(crate) const MAX_BUCKETS: usize = 10_000;

/// The parameters of a period.
pub(crate) const PARAMETERS: [&str; 3] = ["granularity", "from", "to"];

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

/// The period that `query` asks for at `now`, which is the last 24 hours or 30 days unless it says
/// otherwise.
///
/// # Errors
/// A parameter that is wrong.
pub(crate) fn parse(
    query: &Query<'_>,
    now: Timestamp,
    final_after: Duration,
) -> Result<StatsSpan, Problem> {
    let granularity = granularity(query)?;
    let to = query.timestamp("to")?.unwrap_or(now);
    let usual = match granularity {
        Granularity::Hour => TimeDelta::hours(24),
        Granularity::Day => TimeDelta::days(30),
    };
    let from = query
        .timestamp("from")?
        .unwrap_or_else(|| to.saturating_add(-usual));
    if from >= to {
        return Err(Problem::invalid_parameter("from", "from must be before to"));
    }
    Ok(StatsSpan {
        granularity,
        from,
        to,
        final_after,
    })
}

/// Checks that `span` is not too long to answer.
///
/// # Errors
/// [`ProblemCode::TooManyBuckets`].
pub(crate) fn check(span: &StatsSpan, zone: ReportingZone) -> Result<(), Problem> {
    let over = MAX_BUCKETS + 1;
    let buckets = match span.granularity {
        Granularity::Hour => zone.hours(span.from, span.to).take(over).count(),
        Granularity::Day => zone.days(span.from, span.to).take(over).count(),
    };
    if buckets == over {
        let bucket = span.granularity.as_str();
        let detail = format!("ask for at most {MAX_BUCKETS} {bucket}s at a time");
        return Err(Problem::new(ProblemCode::TooManyBuckets, detail));
    }
    Ok(())
}

fn granularity(query: &Query<'_>) -> Result<Granularity, Problem> {
    match query.get("granularity") {
        None | Some("hour") => Ok(Granularity::Hour),
        Some("day") => Ok(Granularity::Day),
        Some(_) => Err(Problem::invalid_parameter(
            "granularity",
            "granularity is hour or day",
        )),
    }
}
