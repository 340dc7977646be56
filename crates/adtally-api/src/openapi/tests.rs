use std::collections::BTreeSet;

use actix_web::http::Method;
use actix_web::test::TestRequest;
use adtally_domain::EventInput;
use serde_json::Value;

use super::*;
use crate::routes::{Scope, table};
use crate::testing::{TestApi, uri};

fn description() -> Value {
    serde_json::from_str(&json()).unwrap()
}

fn operations() -> Vec<(Method, String)> {
    let description = description();
    let paths = description["paths"].as_object().unwrap();
    let operations = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().keys();
        methods.map(move |method| (method.to_uppercase().parse().unwrap(), path.clone()))
    });
    operations.collect()
}

#[actix_web::test]
async fn every_described_operation_is_routed() {
    let api = TestApi::new();
    let operations = operations();
    assert_eq!(operations.len(), 19);
    for (method, path) in operations {
        let uri = uri(&path);
        let answer = api
            .call(TestRequest::default().method(method.clone()).uri(&uri))
            .await;
        assert!(
            ![404, 405].contains(&answer.status.as_u16()),
            "{method} {path}: {answer:?}"
        );
    }
}

#[test]
fn every_routed_operation_is_described() {
    let described: BTreeSet<_> = operations()
        .into_iter()
        .map(|(method, path)| format!("{method} {path}"))
        .collect();
    // Pages are for people, and not under `/v1`.
    let entries = table().into_iter();
    for entry in entries.filter(|entry| entry.path.starts_with("/v1/")) {
        let allowed = entry.allowed();
        for method in allowed.split(", ").filter(|method| *method != "HEAD") {
            let operation = format!("{method} {}", entry.path);
            assert!(
                described.contains(&operation),
                "{operation} is not described"
            );
        }
    }
}

#[test]
fn every_described_operation_has_the_tag_of_its_routes_scope() {
    let (description, table) = (description(), table());
    for (method, path) in operations() {
        let method = method.as_str().to_lowercase();
        let tag = description["paths"][&path][&method]["tags"][0].as_str();
        let scope = match tag.unwrap() {
            "browsers" => Scope::Open,
            "events" => Scope::Ingest,
            "stats" => Scope::Stats,
            "ads" | "advertisers" => Scope::Manage,
            "dead letters" => Scope::Admin,
            other => panic!("{method} {path}: {other}"),
        };
        let entry = table.iter().find(|entry| entry.path == path).unwrap();
        assert_eq!(entry.scope, scope, "{method} {path}");
    }
}

#[test]
fn an_event_is_described_by_the_fields_that_are_read() {
    let description = description();
    let event = &description["components"]["schemas"]["Event"];
    assert_eq!(event["required"], serde_json::json!(["ad_id", "kind"]));
    let fields = event["properties"].as_object().unwrap();
    assert_eq!(fields.len(), 10);
    for field in fields.keys() {
        let event = format!(r#"{{"{field}": "x"}}"#);
        let read: EventInput<'_> = serde_json::from_str(&event).unwrap();
        assert_ne!(read, EventInput::default(), "{field} is not read");
    }
}

/// Values that the schema of a parameter refuses; none for a text that may be anything.
fn refused_by(schema: &Value) -> Vec<String> {
    let mut refused = Vec::new();
    for (bound, step) in [("minimum", -1), ("maximum", 1)] {
        let value = schema[bound].as_i64().map(|bound| bound + step);
        refused.extend(value.map(|value| value.to_string()));
    }
    let is_narrow = ["pattern", "format", "minimum"]
        .iter()
        .any(|key| !schema[key].is_null());
    if is_narrow {
        refused.push("nonsense".to_owned());
    }
    refused
}

#[actix_web::test]
async fn what_the_description_refuses_in_a_query_the_code_refuses_too() {
    let (api, description) = (TestApi::new(), description());
    // Pixels and clicks are answered whatever their queries say, and a cursor is nobody's to make.
    let texts = ["cursor", "reason"];
    let mut tried = 0;
    for (method, path) in operations() {
        let operation = &description["paths"][&path][method.as_str().to_lowercase()];
        if operation["tags"][0] == "browsers" {
            continue;
        }
        let parameters = operation["parameters"].as_array();
        let in_query = parameters
            .into_iter()
            .flatten()
            .filter(|found| found["in"] == "query");
        for parameter in in_query {
            let name = parameter["name"].as_str().unwrap();
            let refused = refused_by(&parameter["schema"]);
            assert!(
                !refused.is_empty() || texts.contains(&name),
                "{path} takes any {name}"
            );
            for value in refused {
                let uri = format!("{}?{name}={value}", uri(&path));
                let request = TestRequest::default()
                    .method(method.clone())
                    .uri(&uri)
                    .insert_header(("content-type", "application/json"))
                    .set_payload(r#"{"ad_id": 1, "kind": "click"}"#);
                assert_eq!(api.call(request).await.code(), "invalid_parameter", "{uri}");
                tried += 1;
            }
        }
    }
    assert!(tried > 20, "{tried}");
}

#[actix_web::test]
async fn what_the_description_refuses_in_a_body_the_code_refuses_too() {
    let (api, description) = (TestApi::new(), description());
    let schemas = &description["components"]["schemas"];
    let event_id = &schemas["Event"]["properties"]["event_id"];
    assert_eq!(event_id["minLength"], 1, "{event_id}");
    let event =
        r#"{"ad_id": 1, "kind": "click", "event_id": "", "occurred_at": "2026-11-22T06:00:00Z"}"#;
    assert_eq!(api.post_events(event).await.status, 422);
    assert_eq!(schemas["LetterId"]["format"], "uuid");
    let letters = serde_json::json!({"ids": ["nonsense"]});
    let answer = api.post_json("/v1/dead-letters/discard", letters).await;
    assert!([400, 422].contains(&answer.status.as_u16()), "{answer:?}");
    for (schema, field, uri) in [
        ("NewAd", "title", "/v1/ads"),
        ("NewAdvertiser", "name", "/v1/advertisers"),
    ] {
        let pattern = &schemas[schema]["properties"][field]["pattern"];
        assert!(pattern.is_string(), "{schema} {field}");
        let body = serde_json::json!({field: "a\u{85}b", "advertiser_id": 1});
        let answer = api.post_json(uri, body).await;
        assert_eq!(answer.code(), "invalid_fields", "{schema} {field}");
    }
}

#[test]
fn every_operation_may_answer_a_problem() {
    let description = description();
    for (method, path) in operations() {
        let method = method.as_str().to_lowercase();
        let default = &description["paths"][&path][&method]["responses"]["default"];
        let schema = &default["content"]["application/problem+json"]["schema"]["$ref"];
        assert_eq!(schema, "#/components/schemas/Problem", "{method} {path}");
    }
}

#[test]
fn every_operation_that_reads_the_database_names_what_comes_when_it_cannot() {
    let description = description();
    for (method, path) in operations() {
        let method = method.as_str().to_lowercase();
        let operation = &description["paths"][&path][&method];
        let tag = operation["tags"][0].as_str().unwrap();
        if ["events", "browsers"].contains(&tag) {
            continue;
        }
        let responses = &operation["responses"];
        for status in ["500", "503"] {
            assert!(responses[status].is_object(), "{method} {path}: {status}");
        }
    }
}

#[test]
fn no_address_of_another_host_is_in_the_description() {
    let text = json();
    assert!(!text.contains("//"), "{text}");
    assert!(text.contains(r#""openapi":"3.1"#));
}

#[actix_web::test]
async fn the_description_and_its_page_are_served_from_here() {
    let api = TestApi::new();
    for uri in ["/openapi.json", "/api-docs/openapi.json"] {
        let answer = api.get(uri).await;
        assert_eq!(
            (answer.status.as_u16(), answer.body),
            (200, json().into_bytes()),
            "{uri}"
        );
    }
    let redirect = api.get("/api-docs").await;
    assert_eq!(
        (redirect.status.as_u16(), redirect.header("location")),
        (308, "/api-docs/")
    );
    let page = api.get("/api-docs/").await;
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").starts_with("text/html"));
    let start = api.get("/api-docs/swagger-initializer.js").await;
    let start = String::from_utf8(start.body).unwrap();
    assert!(
        start.contains("/openapi.json") && start.contains(r#""validatorUrl": "none""#),
        "{start}"
    );
    for file in ["swagger-ui.css", "swagger-ui-bundle.js"] {
        assert_eq!(
            api.get(&format!("/api-docs/{file}")).await.status,
            200,
            "{file}"
        );
    }
    assert_eq!(api.get("/api-docs/../Cargo.toml").await.code(), "not_found");
    assert_eq!(api.get("/api-docs/nothing.js").await.code(), "not_found");
}
