//! Events whose fields are wrong in every way that was seen.

use adtally_domain::AdId;
use serde_json::json;

use super::{accepts, refuses};
use crate::testing::at;

#[actix_web::test]
async fn ids_out_of_range_or_of_the_wrong_type() {
    for ad in [
        "9223372036854775808",
        "-1",
        "0",
        "1.0",
        "1e3",
        "1e308",
        "\"42\"",
        "null",
        "[]",
        "true",
    ] {
        refuses(
            "invalid_ad_id",
            format!(r#"{{"ad_id": {ad}, "kind": "click"}}"#),
        )
        .await;
    }
    let largest = accepts(br#"{"ad_id": 9223372036854775807, "kind": "click"}"#).await;
    assert_eq!(largest.ad_id, AdId::new(i64::MAX).unwrap());
}

#[actix_web::test]
async fn required_fields_that_are_null_missing_or_unknown() {
    refuses("invalid_ad_id", br#"{"kind": "click"}"#).await;
    for kind in ["null", "0", "\"view\"", "\"Click\"", "\"\""] {
        refuses("invalid_kind", format!(r#"{{"ad_id": 1, "kind": {kind}}}"#)).await;
    }
}

#[actix_web::test]
async fn texts_with_control_characters_or_beyond_their_bound() {
    let event =
        |field: &str, text: &str| json!({"ad_id": 1, "kind": "click", field: text}).to_string();
    for (field, bound) in [
        ("visitor_id", 128),
        ("placement", 128),
        ("user_agent", 512),
        ("referer", 1_024),
    ] {
        accepts(event(field, &"x".repeat(bound))).await;
        refuses("too_long", event(field, &"x".repeat(bound + 1))).await;
        refuses("control_character", event(field, "a\u{0}b")).await;
        refuses(
            "control_character",
            event(field, "\u{1b}[31m\n{\"level\":\"error\"}"),
        )
        .await;
    }
    refuses("too_long", event("user_agent", &"x".repeat(1_000_000))).await;
    for text in [
        "'; DROP TABLE events; --",
        "%_\\",
        "=cmd()",
        "\u{202e}rtl\u{200b}👩‍👩‍👧",
    ] {
        assert_eq!(
            accepts(event("placement", text)).await.placement.as_deref(),
            Some(text)
        );
    }
}

#[actix_web::test]
async fn event_ids_of_every_kind() {
    let event = |id: &str| json!({"ad_id": 1, "kind": "click", "event_id": id}).to_string();
    for id in [
        "00000000-0000-0000-0000-000000000000",
        "9b2f8f0e-2c1d-4e6a-9d43-0c6f7a1b2c3d",
        "x",
    ] {
        refuses("occurred_at_required", event(id)).await;
    }
    refuses("invalid_event_id", event("")).await;
    refuses(
        "invalid_event_id",
        br#"{"ad_id": 1, "kind": "click", "event_id": 7}"#,
    )
    .await;
    for id in [
        "{019d3751-c8ff-7ad9-bab3-b966420926c1}",
        "urn:uuid:019d3751-c8ff-7ad9-bab3-b966420926c1",
    ] {
        refuses("too_old", event(id)).await;
    }
    let wrong = json!({"ad_id": 1, "kind": "click", "impression_id": "auction-1"}).to_string();
    refuses("invalid_impression_id", wrong).await;
}

#[actix_web::test]
async fn times_at_the_edges() {
    let event = |time: &str| json!({"ad_id": 1, "kind": "click", "occurred_at": time}).to_string();
    for (time, code) in [
        ("1969-12-31T23:59:59.999Z", "invalid_occurred_at"),
        ("2026-11-22T05:00:00", "invalid_occurred_at"),
        ("22.11.2026", "invalid_occurred_at"),
        ("", "invalid_occurred_at"),
        ("1970-01-01T00:00:00Z", "too_old"),
        ("2026-10-18T05:59:59.999Z", "too_old"),
        ("9999-12-31T23:59:59.999Z", "in_future"),
        ("2026-11-22T06:05:00.001Z", "in_future"),
    ] {
        refuses(code, event(time)).await;
    }
    for (time, instant) in [
        ("2026-10-18T06:00:00Z", "2026-10-18T06:00:00Z"),
        ("2026-11-22T06:05:00.0009Z", "2026-11-22T06:05:00Z"),
        ("2026-11-22T20:00:00+14:00", "2026-11-22T06:00:00Z"),
        ("2026-11-21T18:00:00-12:00", "2026-11-22T06:00:00Z"),
        ("2026-11-21T23:59:59.999999Z", "2026-11-21T23:59:59.999Z"),
    ] {
        assert_eq!(
            accepts(event(time)).await.occurred_at(),
            at(instant),
            "{time}"
        );
    }
}

#[actix_web::test]
async fn addresses_of_every_kind() {
    let event = |ip: &str| json!({"ad_id": 1, "kind": "click", "ip": ip}).to_string();
    for ip in [
        "fe80::1%eth0",
        "999.1.1.1",
        "1.2.3",
        "203.0.113.9:80",
        "localhost",
        "",
    ] {
        refuses("invalid_ip", event(ip)).await;
    }
}
