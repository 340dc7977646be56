use std::net::Ipv4Addr;

use actix_web::test::TestRequest;

use super::*;
use crate::testing::{Answer, TestApi};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const EVERYWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

fn hosts(given: &[&str], listens_on: IpAddr) -> AllowedHosts {
    let given: Vec<_> = given.iter().map(ToString::to_string).collect();
    AllowedHosts::new(&given, listens_on)
}

#[test]
fn an_address_and_localhost_are_always_allowed_and_names_only_if_given() {
    let own = hosts(&["ads.example", "B.example."], EVERYWHERE);
    for host in [
        "localhost",
        "LOCALHOST:8080",
        "127.0.0.1:8080",
        "10.1.2.3",
        "[::1]:80",
        "ads.example",
        "ADS.example.:443",
        "b.example",
    ] {
        assert!(own.allow(host), "{host}");
    }
    for host in [
        "",
        "evil.example",
        "ads.example.evil.example",
        "evil-ads.example",
        "localhost.evil.example:8080",
        "127.0.0.1.evil.example",
        "[evil]",
        "ads.example:80:80",
        "ads.example@evil.example",
    ] {
        assert!(!own.allow(host), "{host}");
    }
}

#[test]
fn without_names_only_what_this_machine_alone_reaches_is_strict() {
    assert_eq!(hosts(&[], EVERYWHERE), AllowedHosts::Any);
    assert_eq!(hosts(&["*"], LOOPBACK), AllowedHosts::Any);
    let loopback = hosts(&[], LOOPBACK);
    assert!(loopback.allow("127.0.0.1:8080") && !loopback.allow("evil.example"));
}

/// What an API on loopback answers to `method` and `uri` with `headers`.
async fn ask(method: &Method, uri: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = TestRequest::default().method(method.clone()).uri(uri);
    for &header in headers {
        request = request.insert_header(header);
    }
    TestApi::new().call(request).await
}

/// All routes that may change something, from the table of routes: no other way in can be forgotten.
fn changing() -> Vec<(Method, String)> {
    let methods = |entry: &crate::routes::RouteEntry| -> Vec<Method> {
        let allowed = entry.allowed();
        let methods = allowed.split(", ").map(|name| name.parse().unwrap());
        methods.collect()
    };
    let is_safe = |method: &Method| matches!(*method, Method::GET | Method::HEAD);
    let routes = crate::routes::table().into_iter().flat_map(|entry| {
        let path = crate::testing::uri(entry.path);
        methods(&entry)
            .into_iter()
            .filter(move |method| !is_safe(method))
            .map(move |method| (method, path.clone()))
    });
    routes.collect()
}

#[actix_web::test]
async fn no_page_of_another_origin_changes_anything() {
    let own = ("host", "127.0.0.1:8080");
    let routes = changing();
    assert_eq!(routes.len(), 9, "{routes:?}");
    for (method, uri) in routes {
        for content_type in ["text/plain", "application/json"] {
            let content_type = ("content-type", content_type);
            for foreign in [
                &[("sec-fetch-site", "cross-site")][..],
                &[
                    ("sec-fetch-site", "same-site"),
                    ("origin", "http://127.0.0.1:9"),
                ],
                &[("sec-fetch-site", "same-origin, none")],
                &[("origin", "null")],
                &[("origin", "https://evil.example")],
                // Another port is another origin.
                &[("origin", "http://127.0.0.1:8081")],
                &[("origin", "http://evil.example/127.0.0.1:8080")],
            ] {
                let answer = ask(&method, &uri, &[foreign, &[own, content_type]].concat()).await;
                let seen = (answer.status.as_u16(), answer.code());
                let expected = (403, "foreign_origin".to_owned());
                assert_eq!(seen, expected, "{method} {uri} {foreign:?}");
            }
            for ours in [
                &[][..],
                &[("origin", "http://127.0.0.1:8080")],
                &[("sec-fetch-site", "none")],
                &[
                    ("sec-fetch-site", "same-origin"),
                    ("origin", "https://ads.example"),
                ],
            ] {
                let answer = ask(&method, &uri, &[ours, &[own, content_type]].concat()).await;
                assert_ne!(answer.status, 403, "{method} {uri} {ours:?}");
            }
        }
    }
}

#[actix_web::test]
async fn no_page_reads_or_changes_anything_under_a_name_that_was_made_to_lead_here() {
    let evil = ("host", "evil.example:8080");
    for entry in crate::routes::table() {
        let uri = crate::testing::uri(entry.path);
        let is_for_everybody = ["/v1/pixel.gif", "/v1/click/1"].contains(&uri.as_str());
        for method in entry.allowed().split(", ") {
            let method: Method = method.parse().unwrap();
            let page = [evil, ("origin", "http://evil.example:8080")];
            let answer = ask(&method, &uri, &page).await;
            assert_eq!(answer.status == 421, !is_for_everybody, "{method} {uri}");
            if uri != "/v1/events" {
                let answer = ask(&method, &uri, &[evil]).await;
                assert_eq!(answer.status == 421, !is_for_everybody, "{method} {uri}");
            }
        }
    }
    // The target's own host goes before the header.
    let uri = "http://evil.example/v1/ads";
    let answer = ask(&Method::GET, uri, &[("host", "localhost")]).await;
    assert_eq!(answer.code(), "host_not_allowed");
}

#[actix_web::test]
async fn programs_send_events_and_ask_for_health_under_any_name() {
    let name = ("host", "ads.example");
    let event = TestRequest::post()
        .uri("/v1/events")
        .insert_header(name)
        .insert_header(("content-type", "application/json"))
        .set_payload(r#"{"ad_id": 1, "kind": "click"}"#);
    assert_eq!(TestApi::new().call(event).await.status, 202);
    for path in HEALTH_PATHS {
        assert_ne!(ask(&Method::GET, path, &[name]).await.status, 421, "{path}");
    }
}
