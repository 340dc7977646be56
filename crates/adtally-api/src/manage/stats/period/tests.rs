use super::*;
use crate::testing::{NOW, at};

fn parsed(query: &str) -> Result<StatsSpan, Problem> {
    let query = Query::parse(query, &PARAMETERS).unwrap();
    let span = parse(&query, at(NOW), Duration::from_secs(86_400))?;
    check(&span, ReportingZone::UTC).map(|()| span)
}

#[test]
fn the_usual_period_is_24_hours_or_30_days() {
    let hours = parsed("").unwrap();
    assert_eq!(hours.granularity, Granularity::Hour);
    assert_eq!(
        (hours.from, hours.to),
        (at("2026-11-21T06:00:00Z"), at(NOW))
    );
    let days = parsed("granularity=day&to=2026-11-01T00:00:00Z").unwrap();
    assert_eq!(days.granularity, Granularity::Day);
    assert_eq!(days.from, at("2026-10-02T00:00:00Z"));
}

#[test]
fn times_keep_their_offsets() {
    let period = parsed("from=2026-11-22T00:00:00+03:30&to=2026-11-22T00:00:00-14:00").unwrap();
    assert_eq!(period.from, at("2026-11-21T20:30:00Z"));
    assert_eq!(period.to, at("2026-11-22T14:00:00Z"));
}

#[test]
fn what_makes_no_period_is_refused() {
    for query in [
        "from=yesterday",
        "from=2026-11-22",
        "from=2026-11-22T00:00:00",
        "from=1969-12-31T23:59:59Z",
        "to=+10000-01-01T00:00:00Z",
        "from=2026-11-22T05:00:00Z&to=2026-11-22T05:00:00Z",
        "from=2026-11-22T06:00:00Z&to=2026-11-22T05:00:00Z",
        "from=2027-01-01T00:00:00Z",
        "granularity=week",
        "granularity=HOUR",
    ] {
        let code = parsed(query).unwrap_err().code();
        assert_eq!(code, ProblemCode::InvalidParameter, "{query}");
    }
}

#[test]
fn at_most_ten_thousand_buckets_are_asked_for() {
    // 416 days and 16 hours.
    let from = "from=2025-01-01T00:00:00Z";
    assert!(parsed(&format!("{from}&to=2026-02-21T16:00:00Z")).is_ok());
    let over = parsed(&format!("{from}&to=2026-02-21T16:00:00.001Z")).unwrap_err();
    assert_eq!(over.code(), ProblemCode::TooManyBuckets);
    assert!(parsed("granularity=day&from=1999-08-01T00:00:00Z").is_ok());
    let ages = parsed("granularity=day&from=1970-01-01T00:00:00Z&to=9999-12-31T23:59:59Z");
    assert_eq!(ages.unwrap_err().code(), ProblemCode::TooManyBuckets);
}
