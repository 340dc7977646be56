mod ids;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const NOW: &str = "2026-11-22T06:00:00.500Z";

fn at(text: &str) -> Timestamp {
    text.parse::<DateTime<Utc>>().unwrap().try_into().unwrap()
}

fn accept(event: &Value) -> Result<Event, Rejection> {
    let intake = Intake {
        max_event_age: Duration::from_secs(35 * 86_400),
        keep_ip: false,
    };
    accept_with(intake, event)
}

fn accept_with(intake: Intake, event: &Value) -> Result<Event, Rejection> {
    let text = event.to_string();
    let input: EventInput<'_> = serde_json::from_str(&text).unwrap();
    intake.accept(&input, at(NOW), Some("test"), || [7; 10])
}

fn with(field: &str, value: Value) -> Value {
    let mut event = json!({"ad_id": 42, "kind": "click"});
    event[field] = value;
    event
}

fn code_of(event: &Value) -> &'static str {
    accept(event).map_or_else(|rejection| rejection.code.as_str(), |_| "accepted")
}

#[test]
fn ad_and_kind_are_all_an_event_needs() {
    let event = accept(&json!({"ad_id": 42, "kind": "impression"})).unwrap();
    assert_eq!(event.occurred_at(), at(NOW));
    assert_eq!(event.id.as_uuid().get_version_num(), 7);
    assert_eq!(event.source.as_deref(), Some("test"));
}

#[test]
fn any_other_id_needs_a_time_and_a_retry_gives_the_same_id() {
    let mut event = with("event_id", json!("auction-7f3a/1"));
    assert_eq!(code_of(&event), "occurred_at_required");
    event["occurred_at"] = json!("2026-11-22T06:00:00.123Z");
    let first = accept(&event).unwrap();
    assert_eq!(first, accept(&event).unwrap());
    assert_eq!(first.id.as_uuid().get_version_num(), 8);
}

#[test]
fn each_bad_field_is_refused_with_its_own_code() {
    for (field, value, code) in [
        ("ad_id", json!(null), "invalid_ad_id"),
        ("ad_id", json!(0), "invalid_ad_id"),
        ("ad_id", json!(-1), "invalid_ad_id"),
        (
            "ad_id",
            json!(9_223_372_036_854_775_808_u64),
            "invalid_ad_id",
        ),
        ("ad_id", json!(42.0), "invalid_ad_id"),
        ("ad_id", json!("42"), "invalid_ad_id"),
        ("ad_id", json!([42]), "invalid_ad_id"),
        ("kind", json!(null), "invalid_kind"),
        ("kind", json!("Click"), "invalid_kind"),
        ("kind", json!("conversion"), "invalid_kind"),
        ("event_id", json!(""), "invalid_event_id"),
        ("event_id", json!(7), "invalid_event_id"),
        ("event_id", json!("a\u{0}b"), "control_character"),
        ("event_id", json!("x".repeat(129)), "too_long"),
        (
            "occurred_at",
            json!("2026-11-22T06:00:00"),
            "invalid_occurred_at",
        ),
        (
            "occurred_at",
            json!("1969-12-31T23:59:59Z"),
            "invalid_occurred_at",
        ),
        ("occurred_at", json!(1_700_000_000), "invalid_occurred_at"),
        (
            "occurred_at",
            json!("2026-11-22T06:05:00.501Z"),
            "in_future",
        ),
        ("occurred_at", json!("9999-12-31T23:59:59Z"), "in_future"),
        ("occurred_at", json!("2026-10-18T06:00:00.499Z"), "too_old"),
        ("impression_id", json!("auction-1"), "invalid_impression_id"),
        ("ip", json!("203.0.113.9.9"), "invalid_ip"),
        ("ip", json!("fe80::1%eth0"), "invalid_ip"),
        ("user_agent", json!("u".repeat(513)), "too_long"),
        ("user_agent", json!({"a": [1]}), "invalid_event"),
        ("referer", json!("r".repeat(1_025)), "too_long"),
        ("placement", json!("پ".repeat(65)), "too_long"),
        ("visitor_id", json!("a\u{1b}[31m"), "control_character"),
        ("visitor_id", json!("a\u{85}"), "control_character"),
    ] {
        assert_eq!(
            code_of(&with(field, value.clone())),
            code,
            "{field} = {value}"
        );
    }
}

#[test]
fn the_edges_of_every_bound_are_let_in() {
    for (field, value) in [
        ("occurred_at", json!("2026-11-22T06:05:00.500Z")),
        ("occurred_at", json!("2026-10-18T06:00:00.500Z")),
        ("event_id", json!(null)),
        ("user_agent", json!("u".repeat(512))),
        ("referer", json!("r".repeat(1_024))),
        ("placement", json!("پ".repeat(64))),
        (
            "visitor_id",
            json!("'; DROP TABLE events; -- =cmd() %_\\ 👁\u{200f}"),
        ),
        ("ad_id", json!(i64::MAX)),
    ] {
        assert_eq!(
            code_of(&with(field, value.clone())),
            "accepted",
            "{field} = {value}"
        );
    }
}

#[test]
fn addresses_are_cut_to_their_network_unless_kept() {
    for (sent, cut) in [
        ("203.0.113.9", "203.0.113.0"),
        ("::ffff:203.0.113.9", "203.0.113.0"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
    ] {
        assert_eq!(
            accept(&with("ip", json!(sent))).unwrap().ip,
            Some(cut.parse().unwrap())
        );
    }
    let keep = Intake {
        max_event_age: Duration::from_secs(60),
        keep_ip: true,
    };
    let event = accept_with(keep, &with("ip", json!("203.0.113.9"))).unwrap();
    assert_eq!(event.ip, Some("203.0.113.9".parse().unwrap()));
}

proptest! {
    #[test]
    fn whatever_is_let_in_lies_within_the_window(millis in 0..=Timestamp::MAX.as_millis()) {
        let time = Timestamp::from_millis(millis).unwrap();
        let event = accept(&with("occurred_at", json!(time.to_string())));
        let now = at(NOW).as_millis();
        let inside = (now - 35 * 86_400_000..=now + 300_000).contains(&millis);
        prop_assert_eq!(event.is_ok(), inside);
        if let Ok(event) = event {
            prop_assert_eq!(event.occurred_at(), time);
        }
    }
}
