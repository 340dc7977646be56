mod lossless;

use std::collections::BTreeMap;
use std::time::Duration;

use adtally_domain::{AggregateHour, Task, TaskMessage};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::{HeaderValue, Headers, Properties};

/// Messages as real Celery applications send them, by what they show.
const SAMPLES: &str = include_str!("../../tests/data/celery-messages.json");

const QUEUE: &str = "adtally.tasks";

#[derive(Deserialize)]
struct Sample {
    properties: SampleProperties,
    body: Json,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SampleProperties {
    headers: Headers,
    content_type: String,
    content_encoding: String,
    delivery_mode: u8,
    priority: Option<u8>,
    correlation_id: String,
    reply_to: String,
    expiration: Option<String>,
}

impl SampleProperties {
    fn whole(self) -> Properties {
        Properties {
            headers: self.headers,
            content_type: Some(self.content_type),
            content_encoding: Some(self.content_encoding),
            delivery_mode: Some(self.delivery_mode),
            priority: self.priority,
            correlation_id: Some(self.correlation_id),
            reply_to: Some(self.reply_to),
            expiration: self.expiration,
            ..Properties::default()
        }
    }
}

/// Properties and body of every sample.
fn samples() -> BTreeMap<String, (Properties, Json)> {
    let samples: BTreeMap<String, Sample> = serde_json::from_str(SAMPLES).unwrap();
    let whole = |sample: Sample| (sample.properties.whole(), sample.body);
    samples
        .into_iter()
        .map(|(name, sample)| (name, whole(sample)))
        .collect()
}

fn sample(name: &str) -> TaskCall {
    let (properties, body) = samples().remove(name).unwrap();
    TaskCall::decode(&properties, body.as_str().as_bytes(), QUEUE).unwrap()
}

/// A call that Celery writes from `fields`, in Rust.
fn aggregate_hour(id: u128) -> TaskMessage {
    AggregateHour {
        hour: "2026-11-22T06:30:00Z".parse().unwrap(),
    }
    .message(Uuid::from_u128(id))
}

const ID: &str = "5c03d678-00e1-46a2-83da-72c1a02efb42";

/// The properties of a message that has only what is required, with `changes` to its headers.
fn properties(changes: &Value) -> Properties {
    let mut fields = json!({"task": "shop.price", "id": ID});
    for (name, value) in changes.as_object().unwrap() {
        fields[name] = value.clone();
    }
    Properties {
        content_type: Some("application/json".to_owned()),
        headers: serde_json::from_value(fields).unwrap(),
        ..Properties::default()
    }
}

fn message(changes: &Value, body: &str) -> Result<TaskCall, TaskMessageError> {
    TaskCall::decode(&properties(changes), body.as_bytes(), QUEUE)
}

fn with_headers(changes: Value) -> Result<TaskCall, TaskMessageError> {
    message(&changes, "[[2, 3], {}, {}]")
}

#[test]
fn messages_of_celery_are_read() {
    let plain = sample("plain");
    assert_eq!(
        (plain.name(), plain.message().queue.as_str()),
        ("shop.price", "tasks")
    );
    assert_eq!(
        plain.id().to_string(),
        "ace970fc-cddb-4416-a396-6023df2d5c05"
    );
    assert_eq!(plain.message().args, [json!(12), json!("EUR")]);
    assert_eq!(
        (plain.retries(), plain.eta(), plain.expires()),
        (0, None, None)
    );
    assert_eq!(plain.message().time_limit, None);

    let late = sample("later, not too late, with callbacks");
    let time = |text: &str| Some(text.parse().unwrap());
    assert_eq!(late.eta(), time("2026-11-30T21:15:00.25Z"));
    assert_eq!(late.expires(), time("2026-11-30T21:16:30.25Z"));
    assert_eq!(late.message().time_limit, Some(Duration::from_secs(45)));
    let kwargs = Value::Object(late.message().kwargs.clone());
    assert_eq!(kwargs, json!({"copy": "ann@example.org"}));

    assert_eq!(sample("third attempt").retries(), 2);
    for name in samples().keys() {
        sample(name);
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
            message(&headers, body).map(|call| call.message().args.clone()),
            Ok(vec![json!(1)]),
            "{headers} {body}"
        );
    }
    assert_eq!(with_headers(json!({"retries": "2"})).unwrap().retries(), 2);
    let limit = with_headers(json!({"timelimit": [null, 20.25]}))
        .unwrap()
        .message()
        .time_limit;
    assert_eq!(limit, Some(Duration::from_millis(20_250)));
}

#[test]
fn an_id_that_is_no_uuid_always_means_the_same_task() {
    let id = |text: &str| with_headers(json!({"id": text})).unwrap().id();
    assert_eq!(id("nightly-1"), id("nightly-1"));
    assert_ne!(id("nightly-1"), id("nightly-2"));
    assert_eq!(id(ID).to_string(), ID);
}

#[test]
fn a_message_of_protocol_1_is_read() {
    let callback = json!([{"task": "shop.log"}]);
    let body = json!({"task": "shop.price", "id": "nightly", "args": [1], "kwargs": {"y": 2},
                      "retries": 3, "eta": null, "expires": null, "utc": true, "taskset": "g",
                      "timelimit": [null, null], "callbacks": callback});
    let call =
        TaskCall::decode(&Properties::default(), body.to_string().as_bytes(), QUEUE).unwrap();
    let message = call.message();
    assert_eq!((message.args.len(), message.kwargs.len()), (1, 1));
    assert_eq!(call.retries(), 3);

    // From then on it is one of protocol 2, with all that still matters.
    let EncodedTask { properties, body } = call.encode();
    assert_eq!(TaskCall::decode(&properties, &body, QUEUE), Ok(call));
    assert_eq!(properties.headers["id"].as_text(), Some("nightly"));
    assert_eq!(properties.headers["group"].as_text(), Some("g"));
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body[2]["callbacks"], callback);
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
    let mut data = properties(&json!({}));
    data.content_type = Some("application/data".to_owned());
    assert_eq!(
        TaskCall::decode(&data, b"[[], {}, {}]", QUEUE),
        Err(ContentType("application/data".to_owned()))
    );
    // Celery's worker also dies of a missing content type; its JSON can be read all the same, and is not
    // sent on without.
    data.content_type = None;
    let read = TaskCall::decode(&data, b"[[], {}, {}]", QUEUE).unwrap();
    let sent = read.encode().properties;
    assert_eq!(sent.content_type.as_deref(), Some("application/json"));
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
    let call = message(&json!({}), &body.to_string()).unwrap();
    let message = call.message();
    assert_eq!(
        Value::Array(message.args.clone()),
        json!(["2026-11-22T06:00:00", ID, ["1.50"], {"__type__": "complex", "__value__": 1}]),
    );
    assert_eq!(
        Value::Object(message.kwargs.clone()),
        json!({"when": "2026-11-22"})
    );
}

#[test]
fn a_time_however_far_is_read() {
    // Milliseconds that were meant as seconds, the last second there is, and long ago.
    for seconds in [1_795_327_200_123, 8_210_266_876_799, -62_198_755_200] {
        let protocol_1 = json!({"task": "shop.price", "id": ID, "args": [], "eta": seconds});
        let call = TaskCall::decode(
            &Properties::default(),
            protocol_1.to_string().as_bytes(),
            QUEUE,
        );
        // It is a text from then on.
        let EncodedTask { properties, body } = call.unwrap().encode();
        let again = TaskCall::decode(&properties, &body, QUEUE).unwrap();
        assert_eq!(again.eta().map(|eta| eta.timestamp()), Some(seconds));
        assert_eq!(
            with_headers(json!({"eta": seconds})).unwrap().eta(),
            again.eta()
        );
    }
}

#[test]
fn a_written_message_has_what_a_celery_worker_can_not_do_without() {
    let mut task = aggregate_hour(7);
    task.kwargs
        .insert("long".to_owned(), json!("é".repeat(2_000)));
    let EncodedTask { properties, body } = TaskCall::from(task.clone()).encode();
    assert_eq!(properties.content_type.as_deref(), Some("application/json"));
    let headers = properties.headers;
    assert_eq!(headers["id"].as_text(), Some(task.id.to_string().as_str()));
    assert_eq!(headers["eta"], HeaderValue::Null);
    assert_eq!(
        headers["timelimit"],
        HeaderValue::List(vec![HeaderValue::Int(900), HeaderValue::Null])
    );
    assert!(headers["kwargsrepr"].as_text().unwrap().len() <= 1_024);
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body.as_array().unwrap().len(), 3);
    assert!(body[2].is_object());
}

#[test]
fn a_written_message_has_the_headers_celery_5_7_writes() {
    let theirs = samples().remove("plain").unwrap().0;
    let ours = TaskCall::from(aggregate_hour(0)).encode().properties;
    assert!(ours.headers.keys().eq(theirs.headers.keys()));
}
