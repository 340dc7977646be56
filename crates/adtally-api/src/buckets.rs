//! Which hours or days a request for totals asks for.

#[cfg(test)]
mod tests;

use std::time::Duration;

use adtally_domain::{ReportingZone, Timestamp};
use adtally_store::{Granularity, StatsSpan};
use chrono::{DateTime, TimeDelta, Utc};

use crate::problem::{Problem, ProblemCode};
use crate::query::Query;

/// The most buckets one answer covers.
pub(crate) const MAX_BUCKETS: usize = 10_000;

/// The parameters of a period.
pub(crate) const PARAMETERS: [&str; 3] = ["granularity", "from", "to"];

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
    let to = time(query, "to")?.unwrap_or(now);
    let usual = match granularity {
        Granularity::Hour => TimeDelta::hours(24),
        Granularity::Day => TimeDelta::days(30),
    };
    let from = time(query, "from")?.unwrap_or_else(|| to.saturating_add(-usual));
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

/// The parameter `name` of `query`, a time.
///
/// # Errors
/// A problem that names the parameter.
pub(crate) fn time(query: &Query<'_>, name: &'static str) -> Result<Option<Timestamp>, Problem> {
    let Some(text) = query.time(name) else {
        return Ok(None);
    };
    let time = DateTime::parse_from_rfc3339(&text).ok();
    let time = time.and_then(|time| Timestamp::try_from(time.with_timezone(&Utc)).ok());
    time.map(Some).ok_or_else(|| {
        let detail = format!("{name} is an RFC 3339 time with offset, from 1970 to 9999");
        Problem::invalid_parameter(name, detail)
    })
}
