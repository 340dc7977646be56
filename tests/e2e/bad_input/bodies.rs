//! Bodies of the wrong shape and size.

use serde_json::{Value, json};

use super::subject::{Subject, from_now, parsed};
use super::wire::{self, Wire};

/// The longest body, in bytes.
const LIMIT: usize = 4 * 1_024 * 1_024;

#[test]
fn a_body_that_is_no_json_is_refused_as_a_whole() {
    let mut subject = Subject::new("no-json");
    let deep = "[".repeat(10_000);
    let bodies: [(&str, &[u8]); 17] = [
        ("nothing", b""),
        ("spaces", b"   \t\r\n "),
        ("a cut off object", br#"{"ad_id": 4"#),
        ("a cut off array", br#"[{"ad_id": 1, "kind": "click"}"#),
        ("a cut off text", br#"{"ad_id": 1, "kind": "cli"#),
        ("garbage behind", br#"{"ad_id": 1, "kind": "click"} x"#),
        (
            "two objects",
            br#"{"ad_id": 1, "kind": "click"}{"ad_id": 1, "kind": "click"}"#,
        ),
        ("NaN", br#"{"ad_id": NaN, "kind": "click"}"#),
        ("Infinity", br#"[{"ad_id": -Infinity, "kind": "click"}]"#),
        ("single quotes", br#"{'ad_id': 1, 'kind': 'click'}"#),
        ("a comma too many", br#"[{"ad_id": 1, "kind": "click"},]"#),
        (
            "a byte order mark",
            b"\xef\xbb\xbf{\"ad_id\": 1, \"kind\": \"click\"}",
        ),
        ("UTF-16", b"{\0\"\0a\0d\0_\0i\0d\0\"\0:\x001\0}\0"),
        (
            "bytes that are not UTF-8",
            b"{\"ad_id\": 1, \"kind\": \"click\", \"placement\": \"\xff\"}",
        ),
        (
            "overlong UTF-8",
            b"{\"ad_id\": 1, \"kind\": \"click\", \"placement\": \"\xc0\xaf\"}",
        ),
        ("a NUL", b"{\"ad_id\": 1, \"kind\": \"cl\0ick\"}"),
        ("an abyss", deep.as_bytes()),
    ];
    for (what, body) in bodies {
        subject.refuses(what, body, 400, "malformed_json");
    }
    for body in ["null", "true", "42", "1e400", "\"click\""] {
        subject.refuses(body, body.as_bytes(), 400, "malformed_json");
    }
    subject.stored_only_what_was_taken();
}

#[test]
fn an_item_of_the_wrong_shape_costs_only_itself() {
    let mut subject = Subject::new("shapes");
    let deep = "[".repeat(10_000) + &"]".repeat(10_000);
    let hidden = format!(r#"{{"ad_id": 1, "kind": "click", "placement": {deep}}}"#);
    let digits = "9".repeat(1_000_000);
    let digits = format!(r#"{{"ad_id": {digits}, "kind": "click"}}"#);
    let items = [
        r#"{"ad_id": 1, "ad_id": 2, "kind": "click"}"#,
        r#"[1, "click"]"#,
        "null",
        "7",
        "\"click\"",
        "[]",
        r#"{"ad_id": 1, "kind": "click", "placement": {"a": 1}}"#,
        r#"{"ad_id": 1, "kind": "click", "visitor_id": 42}"#,
        r#"{"ad_id": 1, "kind": "click", "placement": "\ud800"}"#,
        r#"{"ad_id": 1, "kind": "click", "placement": "\udc00\ud800"}"#,
        deep.as_str(),
        hidden.as_str(),
        digits.as_str(),
    ];
    for item in items {
        let shown: String = item.chars().take(60).collect();
        subject.rejects(&shown, format!("[{item}]").as_bytes(), "invalid_event");
    }
    let good = r#"{"ad_id": 1, "kind": "click"}"#;
    let mixed = format!("[{},{good}]", items.join(","));
    let response = subject.post(mixed.as_bytes());
    let answer = parsed(&response);
    let rejected: Vec<_> = answer["rejected"]
        .as_array()
        .into_iter()
        .flatten()
        .collect();
    let indexes: Vec<_> = rejected.iter().map(|r| r["index"].as_u64()).collect();
    let promised: Vec<_> = (0..items.len() as u64).map(Some).collect();
    subject.compare("all at once", (response.status, indexes), (202, promised));
    let kept = subject.kept(&answer);
    subject.compare("kept of all at once", kept.len(), 1);

    let empty = subject.post(b"[]");
    subject.compare(
        "an empty array",
        (empty.status, parsed(&empty)["accepted"].clone()),
        (422, json!(0)),
    );
    let newer = format!(r#"{{"ad_id": 1, "kind": "click", "v": 9, "spot": {deep}}}"#);
    subject.takes("fields nobody knows", newer.as_bytes());
    subject.stored_only_what_was_taken();
}

#[test]
fn one_bad_event_of_a_thousand_costs_only_itself_and_the_10001st_costs_all() {
    let mut subject = Subject::new("batches");
    let event = json!({"ad_id": 3, "kind": "impression"});
    let mut batch = vec![event.clone(); 1_000];
    batch[617] = json!({"ad_id": 3, "kind": "impression", "placement": "a\u{0}b"});
    let response = subject.post(&serde_json::to_vec(&batch).unwrap());
    let answer = parsed(&response);
    subject.compare("the rest", answer["accepted"].clone(), json!(999));
    subject.compare("index", answer["rejected"][0]["index"].clone(), json!(617));
    let kept = subject.kept(&answer);
    subject.compare("ids", kept.len(), 999);

    let full = serde_json::to_vec(&vec![event.clone(); 10_000]).unwrap();
    let ids = subject.takes("10,000 events", &full);
    subject.compare("ids of 10,000", ids.len(), 10_000);
    let more = serde_json::to_vec(&vec![event; 10_001]).unwrap();
    subject.refuses("10,001 events", &more, 413, "too_many_events");
    let numbers = format!("[{}1]", "1,".repeat(999_999));
    subject.refuses(
        "a million items",
        numbers.as_bytes(),
        413,
        "too_many_events",
    );

    let ndjson = [("Content-Type", "application/x-ndjson")];
    let lines = b"{\"ad_id\": 1, \"kind\": \"click\"}\r\n\n\xff\xfe\n{\"ad_id\": 1,\n{\"ad_id\": 2, \"kind\": \"click\"}";
    let response = subject.post_with(&ndjson, lines);
    let answer = parsed(&response);
    let rejected: Vec<_> = answer["rejected"]
        .as_array()
        .into_iter()
        .flatten()
        .collect();
    let seen: Vec<Value> = rejected
        .iter()
        .map(|r| json!([r["index"], r["code"]]))
        .collect();
    subject.compare(
        "bad lines",
        seen,
        vec![json!([1, "invalid_event"]), json!([2, "invalid_event"])],
    );
    subject.kept(&answer);
    let many = "{\"ad_id\":1,\"kind\":\"click\"}\n".repeat(10_001);
    let response = subject.post_with(&ndjson, many.as_bytes());
    subject.problem("10,001 lines", &response, 413, "too_many_events");
    subject.stored_only_what_was_taken();
}

#[test]
fn a_body_is_taken_up_to_its_limit_and_not_a_byte_further() {
    let mut subject = Subject::new("sizes");
    let mut body = br#"{"ad_id": 1, "kind": "click"}"#.to_vec();
    body.resize(LIMIT, b' ');
    subject.takes("exactly the limit", &body);
    body.push(b' ');
    subject.refuses("one byte more", &body, 413, "body_too_large");

    let api = subject.system.api();
    let head = "POST /v1/events HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n";
    let announced = format!("{head}Content-Length: 5000000000\r\n\r\n{{");
    let heard = wire::exchange(api, announced.as_bytes());
    subject.compare("5 GB announced", heard.statuses(), vec![413]);
    let absurd = format!("{head}Content-Length: 99999999999999999999999\r\n\r\n{{");
    let heard = wire::exchange(api, absurd.as_bytes());
    subject.compare(
        "more than any number announced",
        heard.statuses(),
        vec![400],
    );

    let mut wire = Wire::connect(api);
    wire.say(format!("{head}Transfer-Encoding: chunked\r\n\r\n").as_bytes());
    let chunk = [b"100000\r\n".as_slice(), &[b' '; 0x10_0000], b"\r\n"].concat();
    for _ in 0..5 {
        wire.say(&chunk);
    }
    let heard = wire.until_closed();
    subject.compare("5 MiB in chunks", heard.statuses(), vec![413]);
    subject.stored_only_what_was_taken();
}

#[test]
fn an_id_counts_once_however_often_and_with_whatever_it_comes() {
    let mut subject = Subject::new("same-id");
    let at = from_now(-60);
    let event = |placement: &str| {
        json!({"ad_id": 5, "kind": "click", "event_id": "auction-1", "placement": placement,
               "occurred_at": at})
    };
    let twins = json!([event("first"), event("first"), event("other")]);
    let ids = subject.takes("three in one request", twins.to_string().as_bytes());
    for _ in 0..5 {
        let again = subject.takes("again", event("first").to_string().as_bytes());
        subject.compare("its id", &again[..], &ids[..1]);
        subject.takes(
            "with another payload",
            event("other").to_string().as_bytes(),
        );
    }
    subject.compare("one id", ids[0] == ids[1] && ids[1] == ids[2], true);
    let query = format!("SELECT placement FROM events WHERE event_id = '{}'", ids[0]);
    adtally_tests::until("all thirteen are judged", || {
        // Conflicts repeat some of the duplicates.
        let judged = ["stored", "duplicate"].map(|outcome| {
            subject
                .worker
                .metric(&format!("adtally_events_{outcome}_total"))
        });
        (judged.iter().sum::<f64>() >= 13.0).then_some(())
    });
    subject.compare("the first wins", subject.system.sql(&query).trim(), "first");
    let conflicts = subject.worker.metric("adtally_events_conflict_total");
    subject.compare("conflicts", conflicts, 6.0);
    subject.stored_only_what_was_taken();
}
