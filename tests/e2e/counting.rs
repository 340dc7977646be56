//! From a POST to the hourly and daily tables.

use adtally_tests::System;
use serde_json::json;

#[test]
fn an_accepted_event_is_stored_once_and_shows_in_the_stats() {
    let (system, _worker) = System::with_worker("accepted");
    let ids = system.accept(&json!([
        {"ad_id": 42, "kind": "impression"},
        {"ad_id": 42, "kind": "click", "ip": "203.0.113.9"},
    ]));
    system.wait_for_events(2);
    let stored = system.sql("SELECT event_id FROM events ORDER BY kind");
    assert_eq!(stored.lines().collect::<Vec<_>>(), ids);
    assert_eq!(
        system.sql("SELECT ip FROM events WHERE kind = 1").trim(),
        "203.0.113.0"
    );
    let stats = system.get("/v1/ads/42/stats?granularity=hour").json();
    let last = stats["data"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(
        (&last["impressions"], &last["clicks"], &last["status"]),
        (&json!(1), &json!(1), &json!("open"))
    );
}
