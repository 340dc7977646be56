use std::collections::BTreeMap;
use std::time::Duration;

use adtally_domain::{AggregateHour, Task, TaskMessage};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::decode::Message;
use super::encode::headers;
use super::*;
use crate::{HeaderValue, Headers};

/// Messages recorded from real Celery applications, by what they show.
const RECORDED: &str = include_str!("../../tests/data/celery-messages.json");

#[derive(Deserialize)]
struct Recorded {
    properties: RecordedProperties,
    body: Value,
}

#[derive(Deserialize)]
struct RecordedProperties {
    headers: Map<String, Value>,
    content_type: String,
    content_encoding: String,
}

fn recorded(name: &str) -> Result<TaskMessage, TaskMessageError> {
    let all: BTreeMap<String, Recorded> = serde_json::from_str(RECORDED).unwrap();
    let Recorded { properties, body } = &all[name];
    let message = Message {
        content_type: Some(&properties.content_type),
        content_encoding: Some(&properties.content_encoding),
        headers: &header_table(&Value::Object(properties.headers.clone())),
        body: &serde_json::to_vec(body).unwrap(),
        queue: "adtally.tasks",
    };
    message.decode()
}

fn header(value: &Value) -> HeaderValue {
    match value {
        Value::Null => HeaderValue::Null,
        Value::Bool(truth) => HeaderValue::Bool(*truth),
        Value::Number(number) => number.as_i64().map_or_else(
            || HeaderValue::Float(number.as_f64().unwrap()),
            HeaderValue::Int,
        ),
        Value::String(text) => HeaderValue::Text(text.clone()),
        Value::Array(items) => HeaderValue::List(items.iter().map(header).collect()),
        Value::Object(_) => HeaderValue::Table(header_table(value)),
    }
}

fn header_table(fields: &Value) -> Headers {
    fields
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| (name.clone(), header(value)))
        .collect()
}

const ID: &str = "5c03d678-00e1-46a2-83da-72c1a02efb42";

/// A message that has only what is required, with `changes` to its headers and another body.
fn message(changes: &Value, body: &str) -> Result<TaskMessage, TaskMessageError> {
    let mut fields = json!({"task": "proj.add", "id": ID});
    for (name, value) in changes.as_object().unwrap() {
        fields[name] = value.clone();
    }
    let headers = header_table(&fields);
    let (content_type, content_encoding) = (Some("application/json"), None);
    let body = body.as_bytes();
    Message {
        content_type,
        content_encoding,
        headers: &headers,
        body,
        queue: "x.tasks",
    }
    .decode()
}

fn with_headers(changes: Value) -> Result<TaskMessage, TaskMessageError> {
    message(&changes, "[[2, 3], {}, {}]")
}

#[test]
fn recorded_messages_of_celery_are_read() {
    let plain = recorded("proj.add").unwrap();
    assert_eq!(
        (plain.name.as_str(), plain.queue.as_str()),
        ("proj.add", "tasks")
    );
    assert_eq!(plain.id.to_string(), "8448aa40-6eba-4183-b159-ce252b49136b");
    assert_eq!(plain.args, [json!(2), json!(3)]);
    assert_eq!(
        (plain.retries, plain.eta, plain.expires, plain.time_limit),
        (0, None, None, None)
    );

    let late = recorded("proj.add_eta_expires").unwrap();
    assert_eq!(
        late.eta,
        Some("2026-11-22T06:43:01.541586Z".parse().unwrap())
    );
    assert_eq!(
        late.expires,
        Some("2026-11-22T06:44:00.541586Z".parse().unwrap())
    );
    assert_eq!(late.time_limit, Some(Duration::from_secs(30)));
    assert_eq!(Value::Object(late.kwargs), json!({"y": 3}));

    assert_eq!(recorded("proj.retry_eta_retry").unwrap().retries, 1);
    for name in ["celery 5.2.7", "stamped", "beat", "proj.slow"] {
        assert!(recorded(name).is_ok(), "{name}");
    }
}

#[test]
fn what_celerys_worker_tolerates_is_read_too() {
    for (headers, body) in [
        (json!({}), "[[1], {}, {}]"),
        (json!({}), "[[1], {}, null]"),
        (json!({}), "[[1], {\"y\": 2}, {}]"),
        (
            json!({"lang": "rust", "timelimit": [null, null]}),
            "[[1], {}, {}]",
        ),
        (json!({"timelimit": null}), "[[1], {}, {}]"),
        (json!({"timelimit": [30.5, 20.25]}), "[[1], {}, {}]"),
        (
            json!({"eta": "2026-11-22T06:43:01.123456789Z"}),
            "[[1], {}, {}]",
        ),
        (json!({"eta": "2026-11-22T06:43:01"}), "[[1], {}, {}]"),
        (
            json!({"eta": "2026-11-22 06:43:01.5+03:30"}),
            "[[1], {}, {}]",
        ),
        (json!({"retries": "2"}), "[[1], {}, {}]"),
        (json!({}), r#"{"args": [1], "kwargs": {}}"#),
    ] {
        assert_eq!(
            message(&headers, body).map(|task| task.args),
            Ok(vec![json!(1)]),
            "{headers} {body}"
        );
    }
    assert_eq!(with_headers(json!({"retries": "2"})).unwrap().retries, 2);
    let limit = with_headers(json!({"timelimit": [null, 20.25]}))
        .unwrap()
        .time_limit;
    assert_eq!(limit, Some(Duration::from_millis(20_250)));
}

#[test]
fn an_id_that_is_no_uuid_always_means_the_same_task() {
    let id = |text: &str| with_headers(json!({"id": text})).unwrap().id;
    assert_eq!(id("nightly-1"), id("nightly-1"));
    assert_ne!(id("nightly-1"), id("nightly-2"));
    assert_eq!(id(ID).to_string(), ID);
}

#[test]
fn a_message_of_protocol_1_is_read() {
    let headers = Headers::new();
    let body = json!({"task": "proj.add", "id": ID, "args": [1], "kwargs": {"y": 2}, "retries": 3,
                      "eta": null, "expires": null, "utc": true, "timelimit": [null, null]});
    let body = body.to_string();
    let message = Message {
        content_type: Some("application/json"),
        content_encoding: Some("utf-8"),
        headers: &headers,
        body: body.as_bytes(),
        queue: "x.tasks",
    };
    let task = message.decode().unwrap();
    assert_eq!(
        (task.args.len(), task.kwargs.len(), task.retries),
        (1, 1, 3)
    );
}

#[test]
fn what_ends_a_celery_worker_is_refused_with_a_reason() {
    use TaskMessageError::{ContentType, InvalidHeader, NoId, Shape};
    assert_eq!(with_headers(json!({"eta": ""})), Err(InvalidHeader("eta")));
    assert_eq!(with_headers(json!({"id": null})), Err(NoId));
    assert_eq!(with_headers(json!({"id": ""})), Err(NoId));
    assert_eq!(
        message(&json!({}), "[[], {}]"),
        Err(Shape("it must have three parts"))
    );
    assert_eq!(
        message(&json!({}), "{}"),
        Err(Shape("an object must have positional arguments"))
    );
    let data = Message {
        content_type: Some("application/data"),
        content_encoding: None,
        headers: &header_table(&json!({"task": "proj.add", "id": ID})),
        body: b"[[], {}, {}]",
        queue: "x.tasks",
    };
    assert_eq!(
        data.decode(),
        Err(ContentType("application/data".to_owned()))
    );
    // Celery's worker also dies of a missing content type; its JSON can be read all the same.
    assert!(
        Message {
            content_type: None,
            ..data
        }
        .decode()
        .is_ok()
    );
}

#[test]
fn whatever_else_is_malformed_is_refused_with_a_reason() {
    use TaskMessageError::{Compressed, InvalidHeader, NoTask};
    for (headers, error) in [
        (json!({"task": null}), NoTask),
        (json!({"task": 7}), NoTask),
        (
            json!({"compression": "application/x-gzip"}),
            Compressed("application/x-gzip".to_owned()),
        ),
        (json!({"expires": "tomorrow"}), InvalidHeader("expires")),
        (json!({"eta": {"year": 2026}}), InvalidHeader("eta")),
        (json!({"eta": i64::MAX}), InvalidHeader("eta")),
        (json!({"retries": "many"}), InvalidHeader("retries")),
        (json!({"timelimit": [-1, null]}), InvalidHeader("timelimit")),
        (
            json!({"timelimit": [1e300, null]}),
            InvalidHeader("timelimit"),
        ),
        (json!({"timelimit": "30"}), InvalidHeader("timelimit")),
    ] {
        assert_eq!(with_headers(headers.clone()), Err(error), "{headers}");
    }
    for body in [
        "",
        "{",
        "7",
        "null",
        "\"x\"",
        "[NaN]",
        "[[], {}, {}, {}]",
        "[{}, {}, {}]",
        "[[], [], {}]",
        "[[], {}, 7]",
        "\u{0}",
    ] {
        assert!(message(&json!({}), body).is_err(), "{body}");
    }
}

#[test]
fn pythons_typed_values_become_plain_ones() {
    let body = json!([
        [{"__type__": "datetime", "__value__": "2026-11-22T06:00:00"},
         {"__type__": "uuid", "__value__": {"hex": "5c03d67800e146a283da72c1a02efb42"}},
         [{"__type__": "decimal", "__value__": "1.50"}],
         {"__type__": "complex", "__value__": 1}],
        {"when": {"__type__": "date", "__value__": "2026-11-22"}},
        null,
    ]);
    let task = message(&json!({}), &body.to_string()).unwrap();
    assert_eq!(
        Value::Array(task.args),
        json!(["2026-11-22T06:00:00", ID, ["1.50"], {"__type__": "complex", "__value__": 1}]),
    );
    assert_eq!(Value::Object(task.kwargs), json!({"when": "2026-11-22"}));
}

#[test]
fn a_written_message_is_read_back_whole() {
    let hour = AggregateHour {
        hour: "2026-11-22T06:30:00Z".parse().unwrap(),
    };
    let full = TaskMessage {
        args: vec![json!("π")],
        retries: 3,
        eta: Some("2026-11-22T07:00:00.25Z".parse().unwrap()),
        expires: Some("2026-11-23T07:00:00Z".parse().unwrap()),
        time_limit: Some(Duration::from_millis(1_500)),
        ..hour.message(Uuid::from_u128(7))
    };
    for task in [hour.message(Uuid::from_u128(8)), full] {
        let EncodedTask { properties, body } = encode(&task);
        assert_eq!(decode(&properties, &body, "adtally.tasks"), Ok(task));
    }
}

#[test]
fn a_time_however_far_is_still_the_same_when_it_is_read_back() {
    // Milliseconds that were meant as seconds, the last second there is, and long ago.
    for seconds in [1_795_327_200_123, 8_210_266_876_799, -62_198_755_200] {
        let task = with_headers(json!({"eta": seconds})).unwrap();
        let eta = headers(&task).remove("eta").unwrap();
        let again = with_headers(json!({"eta": eta})).unwrap();
        assert_eq!(again.eta.map(|eta| eta.timestamp()), Some(seconds));
    }
}

#[test]
fn a_written_message_has_what_a_celery_worker_can_not_do_without() {
    let mut task = AggregateHour {
        hour: "2026-11-22T06:30:00Z".parse().unwrap(),
    }
    .message(Uuid::from_u128(7));
    task.kwargs
        .insert("long".to_owned(), json!("é".repeat(2_000)));
    let encoded = encode(&task);
    assert_eq!(
        encoded.properties.content_type.as_deref(),
        Some("application/json")
    );
    let headers = headers(&task);
    assert_eq!(headers["id"].as_text(), Some(task.id.to_string().as_str()));
    assert_eq!(headers["eta"], HeaderValue::Null);
    assert_eq!(
        headers["timelimit"],
        HeaderValue::List(vec![HeaderValue::Int(900), HeaderValue::Null])
    );
    assert!(headers["kwargsrepr"].as_text().unwrap().len() <= 1_024);
    let body: Value = serde_json::from_slice(&encoded.body).unwrap();
    assert_eq!(body.as_array().unwrap().len(), 3);
    assert!(body[2].is_object());
}

#[test]
fn a_written_message_has_the_headers_celery_5_7_writes() {
    let all: BTreeMap<String, Recorded> = serde_json::from_str(RECORDED).unwrap();
    let theirs = all["proj.add"].properties.headers.keys().cloned();
    let task = AggregateHour {
        hour: "2026-11-22T06:30:00Z".parse().unwrap(),
    }
    .message(Uuid::nil());
    let ours: Vec<_> = headers(&task).into_keys().collect();
    let mut theirs: Vec<_> = theirs.collect();
    theirs.sort();
    assert_eq!(ours, theirs);
}
