//! A client's own nonsense is told to the client: no route that asks PostgreSQL answers 5xx for it.

use std::collections::BTreeSet;

use actix_web::http::Method;
use actix_web::test::TestRequest;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Map, Value, json};
use url::form_urlencoded::byte_serialize;

use crate::openapi;
use crate::testing::TestApi;

/// Draws for each route.
const DRAWS: usize = 120;

/// Every parameter of a query, and every field of a body, of any route. The others ignore those that they
/// do not know, or say so.
const NAMES: [&str; 20] = [
    "granularity",
    "from",
    "to",
    "limit",
    "cursor",
    "reason",
    "ad_id",
    "state",
    "id",
    "advertiser_id",
    "title",
    "name",
    "image_url",
    "target_url",
    "approved",
    "ids",
    "all",
    "again",
    "event_id",
    "occurred_at",
];

/// Values at and beyond the ends of what PostgreSQL, chrono and our own types take.
const EDGES: [&str; 44] = [
    "",
    "0",
    "1",
    "-1",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "1e400",
    "\0",
    "a\0b",
    "\u{fffd}",
    "\u{10ffff}",
    "'; --",
    "%",
    "\\",
    "null",
    "true",
    "hour",
    "day",
    "new",
    "requeued",
    "https://example.com/\0",
    "https://example.com/",
    "0.0",
    "-62135596800000.1",
    "253402300799999.9223372036854775807",
    "253402300800000.1",
    "-1.1",
    "9223372036854775807.1",
    "-9223372036854775808.1",
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "-8334601228800000000.ffffffff-ffff-ffff-ffff-ffffffffffff",
    "8210266876799999999.ffffffff-ffff-ffff-ffff-ffffffffffff",
    "9223372036854775807.00000000-0000-0000-0000-000000000000",
    "0.00000000-0000-0000-0000-000000000000",
    "1970-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999999Z",
    "9999-12-31T23:59:59-23:59",
    "0000-01-01T00:00:00Z",
    "-4713-11-24T00:00:00Z",
    "+262142-12-31T23:59:59Z",
    "294277-01-01T00:00:00Z",
    "1969-12-31T23:59:59.999+00:00",
];

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => prop::sample::select(&EDGES[..]).prop_map(str::to_owned),
        1 => any::<i64>().prop_map(|number| number.to_string()),
        1 => any::<String>(),
        1 => (any::<i64>(), any::<u128>())
            .prop_map(|(micros, id)| format!("{micros}.{}", uuid::Uuid::from_u128(id))),
        1 => (any::<i32>(), 0_u8..14, 0_u8..33)
            .prop_map(|(year, month, day)| format!("{year:04}-{month:02}-{day:02}T00:00:00Z")),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => text().prop_map(Value::from),
        2 => any::<i64>().prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
        1 => prop::collection::vec(text(), 0..3).prop_map(|texts| json!(texts)),
    ]
}

fn object() -> impl Strategy<Value = Value> {
    let fields = prop::collection::vec((prop::sample::select(&NAMES[..]), value()), 0..6);
    fields.prop_map(|fields| {
        let fields = fields
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value));
        Value::Object(fields.collect::<Map<_, _>>())
    })
}

fn encoded(text: &str) -> String {
    // A plus in a path is a plus.
    byte_serialize(text.as_bytes())
        .collect::<String>()
        .replace('+', "%20")
}

/// The routes, from the API's own description: a new one is drawn for as soon as it is described.
fn routes() -> BTreeSet<(String, String)> {
    let description: Value = serde_json::from_str(&openapi::json()).unwrap();
    let paths = description["paths"].as_object().unwrap();
    let routes = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().keys();
        methods.map(move |method| (method.to_uppercase(), path.clone()))
    });
    routes.collect()
}

#[actix_web::test]
async fn no_parameter_id_or_field_is_answered_as_a_fault_of_the_server() {
    let (api, database) = TestApi::with_database("Asia/Tehran");
    api.post_json("/v1/advertisers", json!({"id": 1, "name": "Shop"}))
        .await;
    api.post_json(
        "/v1/ads",
        json!({"id": 1, "advertiser_id": 1, "title": "Sale"}),
    )
    .await;
    api.app.ads.load(&api.app.store).await.unwrap();
    let mut runner = TestRunner::deterministic();
    let mut draw =
        |strategy: &BoxedStrategy<Value>| strategy.new_tree(&mut runner).unwrap().current();
    let (texts, objects) = (text().prop_map(Value::from).boxed(), object().boxed());
    let names = prop::sample::select(&NAMES[..])
        .prop_map(Value::from)
        .boxed();
    let mut faults = Vec::new();
    for (method, path) in routes() {
        for _ in 0..DRAWS {
            let mut uri = String::new();
            for part in path.split_inclusive('/') {
                if part.starts_with('{') {
                    uri += &encoded(draw(&texts).as_str().unwrap());
                    uri += if part.ends_with('/') { "/" } else { "" };
                } else {
                    uri += part;
                }
            }
            for (n, mark) in ["?", "&", "&"].into_iter().enumerate() {
                let (name, value) = (draw(&names), draw(&texts));
                let name = name.as_str().unwrap();
                // Most requests name their parameters only once.
                if n == 0 || !uri.contains(&format!("{name}=")) {
                    uri += &format!("{mark}{name}={}", encoded(value.as_str().unwrap()));
                }
            }
            let method: Method = method.parse().unwrap();
            let mut request = TestRequest::default().method(method.clone()).uri(&uri);
            let body = draw(&objects);
            if method != Method::GET {
                request = request.set_json(&body);
            }
            let answer = api.call(request).await;
            if answer.status.as_u16() >= 500 {
                faults.push(format!("{method} {uri} {body}: {answer:?}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let kept = database.psql("SELECT title FROM ads WHERE id = 1").unwrap();
    assert!(!kept.trim().is_empty(), "the routes did reach the database");
}
