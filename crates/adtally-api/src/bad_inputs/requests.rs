//! Requests that are wrong around their body.

use actix_web::http::Method;
use actix_web::test::TestRequest;

use crate::testing::TestApi;

#[actix_web::test]
async fn content_types_and_encodings_nobody_speaks() {
    let api = TestApi::new();
    let event = br#"{"ad_id": 1, "kind": "click"}"#.to_vec();
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "", "*/*"] {
        let answer = api.post("/v1/events", content_type, event.clone()).await;
        assert_eq!(answer.code(), "unsupported_media_type", "{content_type}");
    }
    let without = TestRequest::post()
        .uri("/v1/events")
        .set_payload(event.clone());
    assert_eq!(api.call(without).await.status, 415);
    let twice = TestRequest::post()
        .uri("/v1/events")
        .append_header(("content-type", "application/json"))
        .append_header(("content-type", "text/plain"))
        .set_payload(event.clone());
    assert_eq!(api.call(twice).await.code(), "unsupported_media_type");
    let charset = api
        .post("/v1/events", "application/json; charset=utf-8", event)
        .await;
    assert_eq!(charset.status, 202);
}

#[actix_web::test]
async fn bodies_at_the_limit() {
    let api = TestApi::new();
    let limit = 4 * 1_024 * 1_024;
    let mut body = br#"{"ad_id": 1, "kind": "click"}"#.to_vec();
    body.resize(limit, b' ');
    assert_eq!(api.post_events(body.clone()).await.status, 202);
    body.push(b' ');
    let answer = api.post_events(body).await;
    assert_eq!(
        (answer.status.as_u16(), answer.code().as_str()),
        (413, "body_too_large")
    );
    let many = format!("[{}1]", "1,".repeat(10_000));
    let answer = api.post_events(many).await;
    assert_eq!(
        (answer.status.as_u16(), answer.code().as_str()),
        (413, "too_many_events")
    );
}

#[actix_web::test]
async fn methods_and_paths_nobody_has() {
    let api = TestApi::new();
    for (method, path, status) in [
        (Method::GET, "/v1/events", 405),
        (Method::TRACE, "/v1/events", 405),
        (Method::PUT, "/v1/ads/1", 405),
        (Method::DELETE, "/v1/ads/1", 405),
        (Method::POST, "/livez", 405),
        (Method::POST, "/v1/pixel.gif", 405),
        (Method::from_bytes(b"FROBNICATE").unwrap(), "/v1/stats", 405),
        (Method::GET, "/", 404),
        (Method::GET, "//v1/stats", 404),
        (Method::GET, "/v1/../v1/stats", 404),
        (Method::GET, "/v1/%2e%2e/stats", 404),
        (Method::GET, "/v1/stats%00", 404),
        (Method::GET, "/v1/%zz", 404),
        (Method::GET, "/v1/events/", 404),
        (Method::GET, "/V1/stats", 404),
    ] {
        let answer = api
            .call(TestRequest::default().method(method.clone()).uri(path))
            .await;
        let code = if status == 404 {
            "not_found"
        } else {
            "method_not_allowed"
        };
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (status, code),
            "{method} {path}"
        );
        assert_eq!(
            status == 405,
            !answer.header("allow").is_empty(),
            "{method} {path}"
        );
    }
    assert_eq!(
        api.metric(
            "adtally_http_requests_total{method=\"other\",route=\"/v1/stats\",status=\"405\"} "
        ),
        1.0
    );
}

#[actix_web::test]
async fn queries_nobody_meant() {
    let api = TestApi::new();
    for query in [
        "from=1&from=2",
        "limit=0",
        "limit=99999999999999999999",
        "limit=10&limit=10",
        "cursor=x",
        "cursor=1.2.3",
        "cursor=-1.5",
        "cursor=99999999999999999.1",
        "from=%ff",
        "granularity=%00",
    ] {
        let answer = api.get(&format!("/v1/stats?{query}")).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (400, "invalid_parameter"),
            "{query}"
        );
    }
    assert_eq!(
        api.post("/v1/events?ids=maybe", "application/json", b"{}".to_vec())
            .await
            .status,
        400
    );
}

#[actix_web::test]
async fn the_database_is_away() {
    let api = TestApi::new();
    for uri in [
        "/v1/stats",
        "/v1/ads/1/stats",
        "/v1/ads",
        "/v1/ads/1",
        "/v1/advertisers/1",
    ] {
        let answer = api.get(uri).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (503, "database_unavailable"),
            "{uri}"
        );
        assert!(!answer.header("retry-after").is_empty(), "{uri}");
    }
    assert_eq!(
        api.post_events(r#"{"ad_id": 1, "kind": "click"}"#)
            .await
            .status,
        202
    );
}

#[actix_web::test]
async fn request_ids_are_echoed_unless_they_are_nonsense() {
    let api = TestApi::new();
    let send = async |id: &[u8]| {
        let request = TestRequest::get()
            .uri("/livez")
            .insert_header(("x-request-id", id));
        api.call(request).await.header("x-request-id").to_owned()
    };
    assert_eq!(send(b"7f3a-1").await, "7f3a-1");
    assert_eq!(send(&[b'x'; 129]).await, "");
    assert_eq!(send(b"a b").await, "");
    assert_eq!(send(b"\xff").await, "");
}
