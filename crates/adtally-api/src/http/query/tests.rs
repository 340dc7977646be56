use proptest::prelude::*;

use super::*;

const KNOWN: &[&str] = &["ad_id", "from", "limit"];

#[test]
fn known_parameters_are_read_and_others_ignored() {
    let query = Query::parse("cb=1&ad_id=42&cb=2&a[]=x&from=", KNOWN).unwrap();
    assert_eq!(query.get("ad_id"), Some("42"));
    assert_eq!(query.get("from"), None, "empty is missing");
    assert_eq!(query.get("cb"), None);
}

#[test]
fn a_parameter_given_twice_has_no_meaning() {
    for query in ["ad_id=1&ad_id=1", "ad_id=1&x=2&ad%5Fid=3", "ad_id&ad_id=1"] {
        assert_eq!(
            Query::parse(query, KNOWN).unwrap_err(),
            QueryFault::Repeated("ad_id")
        );
    }
}

#[test]
fn bytes_that_are_not_utf8_are_refused() {
    assert_eq!(
        Query::parse("from=%ff", KNOWN).unwrap_err(),
        QueryFault::NotText("from")
    );
    assert!(Query::parse("other=%ff&ad_id=%zz", KNOWN).is_ok());
}

#[test]
fn a_plus_before_an_offset_survives() {
    let query = Query::parse("from=2026-11-22T00:00:00+03:30", KNOWN).unwrap();
    assert_eq!(query.time("from").unwrap(), "2026-11-22T00:00:00+03:30");
    let query = Query::parse("from=2026-11-22T00:00:00%2B03:30", KNOWN).unwrap();
    assert_eq!(query.time("from").unwrap(), "2026-11-22T00:00:00+03:30");
}

#[test]
fn limits_keep_their_range() {
    let limit = |text: &str| {
        Query::parse(text, KNOWN)
            .unwrap()
            .limit("limit", 7, 100)
            .ok()
    };
    assert_eq!(limit(""), Some(7));
    assert_eq!(limit("limit=100"), Some(100));
    for wrong in ["limit=0", "limit=101", "limit=-1", "limit=x", "limit=1e2"] {
        assert_eq!(limit(wrong), None, "{wrong}");
    }
}

proptest! {
    #[test]
    fn any_query_is_read_without_panic(query in ".{0,200}") {
        let _any = Query::parse(&query, KNOWN).map(|query| query.time("from").map(drop));
    }
}
