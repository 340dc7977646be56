//! What holds for every route.

use std::collections::BTreeMap;

use actix_web::test::TestRequest;

use super::*;
use crate::testing::{TestApi, uri};

/// The paths that GET is answered at, those for health included.
fn readable() -> Vec<String> {
    let table = table().into_iter();
    let readable = table.filter(|entry| entry.allowed().contains("GET"));
    let paths = readable.map(|entry| uri(entry.path));
    let health = adtally_service::HEALTH_PATHS
        .iter()
        .map(ToString::to_string);
    paths.chain(health).collect()
}

#[actix_web::test]
async fn head_is_answered_wherever_get_is() {
    let api = TestApi::new().with_target(1, "https://shop.example/");
    let paths = readable();
    assert_eq!(paths.len(), 17, "{paths:?}");
    for path in paths {
        let [get, head] = [Method::GET, Method::HEAD].map(|method| {
            let request = TestRequest::default().method(method).uri(&path);
            api.call(request)
        });
        let (get, head) = (get.await, head.await);
        assert_ne!(get.status, 405, "{path}");
        assert_eq!(head.status, get.status, "{path}");
        for name in ["content-type", "location", "cache-control"] {
            assert_eq!(head.header(name), get.header(name), "{path} {name}");
        }
    }
}

#[actix_web::test]
async fn head_never_counts() {
    let api = TestApi::new().with_target(1, "https://shop.example/");
    for path in ["/v1/pixel.gif?ad_id=1", "/v1/click/1"] {
        let head = TestRequest::default().method(Method::HEAD).uri(path);
        assert!(api.call(head).await.status.as_u16() < 400, "{path}");
    }
    assert!(api.sink.events().is_empty());
}

#[actix_web::test]
async fn every_answer_says_what_browsers_may_make_of_it() {
    let api = TestApi::new().with_target(1, "https://shop.example/");
    for path in readable().iter().map(String::as_str).chain(["/nowhere"]) {
        let answer = api.get(path).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
    }
    let click = api.get("/v1/click/1").await;
    let policy = "strict-origin-when-cross-origin";
    assert_eq!(click.header("referrer-policy"), policy);
    let pixel = api.get("/v1/pixel.gif?ad_id=1").await;
    assert_eq!(pixel.header("cross-origin-resource-policy"), "cross-origin");
}

#[test]
fn every_route_names_what_its_caller_must_be_allowed_to_do() {
    let mut scopes: BTreeMap<Scope, Vec<&str>> = BTreeMap::new();
    for entry in table() {
        let mut parts = entry.path.trim_start_matches("/v1/").split('/');
        let first = parts.find(|part| !part.is_empty()).unwrap();
        let paths = scopes.entry(entry.scope).or_default();
        if !paths.contains(&first) {
            paths.push(first);
        }
    }
    let expected = [
        (
            Scope::Open,
            vec!["pixel.gif", "click", "openapi.json", "api-docs"],
        ),
        (Scope::Ingest, vec!["events"]),
        (Scope::Stats, vec!["ads", "stats"]),
        (Scope::Manage, vec!["advertisers", "ads"]),
        (Scope::Admin, vec!["dead-letters"]),
    ];
    assert_eq!(scopes, BTreeMap::from(expected));
}
