//! What was read is written as it came.

use proptest::option;
use proptest::prelude::*;
use serde_json::Map;

use super::*;

/// A message that is read and written again, without the blanks between the three parts of its body.
fn through_us(properties: &Properties, body: &str) -> (Properties, String) {
    let call = TaskCall::decode(properties, body.as_bytes(), QUEUE).unwrap();
    let sent = call.encode();
    let again = TaskCall::decode(&sent.properties, &sent.body, QUEUE);
    assert_eq!(again, Ok(call));
    (sent.properties, String::from_utf8(sent.body).unwrap())
}

/// The three parts of a body as they are written, those of the third by name.
fn parts(body: &str) -> (Json, Json, Option<BTreeMap<String, Json>>) {
    serde_json::from_str(body).unwrap()
}

#[test]
fn what_celery_sent_is_what_it_gets() {
    for (name, (properties, body)) in samples() {
        let (sent, sent_body) = through_us(&properties, body.as_str());
        assert_eq!(sent, properties, "{name}");
        assert_eq!(parts(&sent_body), parts(body.as_str()), "{name}");
    }
}

#[test]
fn what_follows_a_task_is_told() {
    let call = sample("later, not too late, with callbacks");
    let embed = call.embed().unwrap();
    let tasks = |part: Option<&Json>| -> Vec<String> {
        let signatures: Vec<Value> = part.unwrap().read().unwrap();
        let names = signatures.iter().map(|signature| &signature["task"]);
        names
            .map(|name| name.as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(tasks(embed.callbacks()), ["shop.log"]);
    assert_eq!(tasks(embed.errbacks()), ["shop.alarm", "shop.log"]);
    assert_eq!((embed.chain(), embed.chord()), (None, None));
    let chain = sample("chain");
    assert_eq!(
        tasks(chain.embed().unwrap().chain()),
        ["shop.bill", "shop.pack"]
    );
    let chord = sample("member of a chord");
    let chord: Value = chord.embed().unwrap().chord().unwrap().read().unwrap();
    assert_eq!(chord["chord_size"], json!(3));
}

#[test]
fn the_next_attempt_differs_in_nothing_but_that_it_is_the_next() {
    let first = sample("stamped");
    let next = first.clone().next_attempt();
    assert_eq!(next.retries(), 1);
    let (first, mut next) = (first.encode(), next.encode());
    assert_eq!(next.body, first.body);
    let headers = &mut next.properties.headers;
    let parent = headers.insert("parent_id".to_owned(), HeaderValue::Null);
    assert_eq!(parent.as_ref(), headers.get("id"));
    headers.insert("retries".to_owned(), HeaderValue::Int(0));
    assert_eq!(next, first);
}

#[test]
fn what_the_broker_noted_is_not_sent_on() {
    let died = json!({"x-death": [{"count": 1}], "x-delivery-count": 3, "x-own": 1});
    let (sent, _) = through_us(&properties(&died), "[[], {}, null]");
    assert_eq!(sent, properties(&json!({"x-own": 1})));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        // These are read as exactly as they are written.
        any::<i32>().prop_map(|number| Value::from(f64::from(number) / 8.0)),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            any_object(inner).prop_map(Value::from),
        ]
    })
}

fn any_object(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::btree_map(any::<String>(), value, 0..4)
        .prop_map(|fields| fields.into_iter().collect())
}

/// Headers as a sender may write them: those that Celery knows, and any others.
fn any_headers() -> impl Strategy<Value = Headers> {
    let text = || any::<Option<String>>().prop_map(|text| json!(text));
    let time = prop::sample::select(vec![
        json!(null),
        json!("2026-11-30T21:15:00.250000+00:00"),
        json!("2026-11-30T21:15:00Z"),
        json!("2026-11-30 21:15:00.5"),
        json!(1_795_327_200),
    ]);
    let limit = prop::sample::select(vec![json!(null), json!([null, null]), json!([30, 20.5])]);
    let retries = prop_oneof![
        Just(json!(null)),
        any::<i64>().prop_map(|n| json!(n)),
        Just(json!("2"))
    ];
    let strict = [
        ("eta", time.clone().boxed()),
        ("expires", time.boxed()),
        ("timelimit", limit.boxed()),
        ("retries", retries.boxed()),
    ];
    let free = [
        "root_id",
        "parent_id",
        "group",
        "shadow",
        "origin",
        "argsrepr",
        "stamps",
        "x-own",
    ];
    let known: Vec<_> = strict
        .into_iter()
        .chain(free.map(|name| (name, prop_oneof![text(), any_json()].boxed())))
        .map(|(name, value)| option::of(value).prop_map(move |value| Some((name, value?))))
        .collect();
    let own = prop::collection::btree_map("y-[a-z]{1,8}", any_json(), 0..3);
    ("[a-z.]{1,20}", "[ -~]{1,40}", known, own).prop_map(|(task, id, known, own)| {
        let mut headers: Map<String, Value> = own.into_iter().collect();
        headers.extend(
            known
                .into_iter()
                .flatten()
                .map(|(name, value)| (name.to_owned(), value)),
        );
        headers.insert("task".to_owned(), json!(task));
        headers.insert("id".to_owned(), json!(id));
        serde_json::from_value(Value::Object(headers)).unwrap()
    })
}

fn any_properties() -> impl Strategy<Value = Properties> {
    let text = any::<Option<String>>;
    let texts = (text(), text(), text(), text(), text(), text(), text());
    let numbers = (
        any::<Option<u8>>(),
        any::<Option<u8>>(),
        any::<Option<u64>>(),
    );
    (any_headers(), texts, numbers).prop_map(|(headers, texts, numbers)| {
        let (correlation_id, reply_to, expiration, message_id, message_type, user_id, app_id) =
            texts;
        let (delivery_mode, priority, timestamp) = numbers;
        Properties {
            content_type: Some("application/json".to_owned()),
            content_encoding: Some("utf-8".to_owned()),
            headers,
            delivery_mode,
            priority,
            correlation_id,
            reply_to,
            expiration,
            message_id,
            timestamp,
            message_type,
            user_id,
            app_id,
        }
    })
}

proptest! {
    #[test]
    fn any_call_is_written_as_it_was_read(
        properties in any_properties(),
        args in prop::collection::vec(any_json(), 0..4),
        kwargs in any_object(any_json()),
        embed in option::of(any_object(any_json())),
    ) {
        let body = json!([args, kwargs, embed]).to_string();
        let (sent, sent_body) = through_us(&properties, &body);
        prop_assert_eq!(sent, properties);
        prop_assert_eq!(sent_body, body);
    }

    #[test]
    fn a_new_call_is_read_back_whole(
        name in "[a-z._]{1,20}",
        id in any::<u128>(),
        args in prop::collection::vec(any_json(), 0..4),
        kwargs in any_object(any_json()),
        millis in option::of(1..100_000_000_u64),
        attempts in 0..3,
    ) {
        let message = TaskMessage {
            id: Uuid::from_u128(id),
            name,
            queue: "tasks".to_owned(),
            args,
            kwargs,
            time_limit: millis.map(Duration::from_millis),
        };
        let mut call = TaskCall::from(message);
        for _ in 0..attempts {
            call = call.next_attempt();
        }
        let EncodedTask { properties, body } = call.encode();
        prop_assert_eq!(TaskCall::decode(&properties, &body, QUEUE), Ok(call));
    }

    #[test]
    fn no_bytes_make_the_reader_panic(body in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = TaskCall::decode(&properties(&json!({})), &body, QUEUE);
        let _ = TaskCall::decode(&Properties::default(), &body, QUEUE);
    }
}
