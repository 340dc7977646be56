//! Inputs that broke other systems: none may panic, hang, be answered 5xx, or be kept by mistake.

use actix_web::http::Method;
use actix_web::test::TestRequest;
use adtally_domain::{AdId, EventKind};
use proptest::prelude::*;
use serde_json::json;

use crate::testing::{Answer, TestApi, at};

fn refused(answer: &Answer) -> &'static str {
    let code = answer.json()["rejected"][0]["code"]
        .as_str()
        .map(str::to_owned);
    code.map_or("", |code| Box::leak(code.into_boxed_str()))
}

/// Posts one event that must be refused with `code`.
async fn refuses(code: &str, event: impl AsRef<[u8]>) {
    let api = TestApi::new();
    let answer = api.post_events(event.as_ref()).await;
    let shown = String::from_utf8_lossy(event.as_ref())
        .chars()
        .take(200)
        .collect::<String>();
    assert_eq!(answer.status, 422, "{shown}: {answer:?}");
    assert_eq!(refused(&answer), code, "{shown}: {answer:?}");
    assert!(api.keeper.events().is_empty(), "{shown}");
}

async fn accepts(event: impl AsRef<[u8]>) -> adtally_domain::Event {
    let api = TestApi::new();
    let answer = api.post_events(event.as_ref()).await;
    assert_eq!(
        answer.status,
        202,
        "{:?}: {answer:?}",
        String::from_utf8_lossy(event.as_ref())
    );
    api.keeper.events().remove(0)
}

async fn malformed(body: &[u8]) {
    let answer = TestApi::new().post_events(body).await;
    assert_eq!(
        (answer.status.as_u16(), answer.code().as_str()),
        (400, "malformed_json"),
        "{body:?}"
    );
}

#[actix_web::test]
async fn bodies_that_are_not_json() {
    for body in [
        &b""[..],
        b"   \n",
        b"{\"ad_id\": 4",
        b"{} trailing",
        b"{\"ad_id\": NaN}",
        b"\xff",
    ] {
        malformed(body).await;
    }
    malformed(b"{\"ad_id\": 1, \"kind\": \"click\", \"placement\": \"\xc0\xaf\"}").await;
    malformed(b"{\"ad_id\": Infinity}").await;
}

#[actix_web::test]
async fn json_of_the_wrong_shape() {
    refuses(
        "invalid_event",
        br#"{"ad_id": 1, "ad_id": 2, "kind": "click"}"#,
    )
    .await;
    refuses("invalid_event", br#"[[1, "click"]]"#).await;
    refuses(
        "invalid_event",
        br#"{"ad_id": 1, "kind": "click", "placement": "\ud800"}"#,
    )
    .await;
    refuses("invalid_event", br#"{"ad_id": 1e400, "kind": "click"}"#).await;
    let deep = "[".repeat(10_000) + &"]".repeat(10_000);
    refuses("invalid_event", format!("[{deep}]")).await;
    refuses(
        "invalid_event",
        format!(r#"{{"ad_id": 1, "kind": "click", "placement": {deep}}}"#),
    )
    .await;
    let ignored = accepts(format!(
        r#"{{"ad_id": 1, "kind": "click", "new_field": {deep}}}"#
    ))
    .await;
    assert_eq!(ignored.kind, EventKind::Click);
}

#[actix_web::test]
async fn ids_out_of_range_or_of_the_wrong_type() {
    for ad in [
        "9223372036854775808",
        "-1",
        "0",
        "1.0",
        "1e3",
        "1e308",
        "\"42\"",
        "null",
        "[]",
        "true",
    ] {
        refuses(
            "invalid_ad_id",
            format!(r#"{{"ad_id": {ad}, "kind": "click"}}"#),
        )
        .await;
    }
    let largest = accepts(br#"{"ad_id": 9223372036854775807, "kind": "click"}"#).await;
    assert_eq!(largest.ad_id, AdId::new(i64::MAX).unwrap());
}

#[actix_web::test]
async fn required_fields_that_are_null_missing_or_unknown() {
    refuses("invalid_ad_id", br#"{"kind": "click"}"#).await;
    for kind in ["null", "0", "\"view\"", "\"Click\"", "\"\""] {
        refuses("invalid_kind", format!(r#"{{"ad_id": 1, "kind": {kind}}}"#)).await;
    }
}

#[actix_web::test]
async fn texts_with_control_characters_or_beyond_their_bound() {
    let event =
        |field: &str, text: &str| json!({"ad_id": 1, "kind": "click", field: text}).to_string();
    for (field, bound) in [
        ("visitor_id", 128),
        ("placement", 128),
        ("user_agent", 512),
        ("referer", 1_024),
    ] {
        accepts(event(field, &"x".repeat(bound))).await;
        refuses("too_long", event(field, &"x".repeat(bound + 1))).await;
        refuses("control_character", event(field, "a\u{0}b")).await;
        refuses(
            "control_character",
            event(field, "\u{1b}[31m\n{\"level\":\"error\"}"),
        )
        .await;
    }
    refuses("too_long", event("user_agent", &"x".repeat(1_000_000))).await;
    for text in [
        "'; DROP TABLE events; --",
        "%_\\",
        "=cmd()",
        "\u{202e}rtl\u{200b}👩‍👩‍👧",
    ] {
        assert_eq!(
            accepts(event("placement", text)).await.placement.as_deref(),
            Some(text)
        );
    }
}

#[actix_web::test]
async fn event_ids_of_every_kind() {
    let event = |id: &str| json!({"ad_id": 1, "kind": "click", "event_id": id}).to_string();
    for id in [
        "00000000-0000-0000-0000-000000000000",
        "9b2f8f0e-2c1d-4e6a-9d43-0c6f7a1b2c3d",
        "x",
    ] {
        refuses("occurred_at_required", event(id)).await;
    }
    refuses("invalid_event_id", event("")).await;
    refuses(
        "invalid_event_id",
        br#"{"ad_id": 1, "kind": "click", "event_id": 7}"#,
    )
    .await;
    for id in [
        "{019d3751-c8ff-7ad9-bab3-b966420926c1}",
        "urn:uuid:019d3751-c8ff-7ad9-bab3-b966420926c1",
    ] {
        refuses("too_old", event(id)).await;
    }
    let wrong = json!({"ad_id": 1, "kind": "click", "impression_id": "auction-1"}).to_string();
    refuses("invalid_impression_id", wrong).await;
}

#[actix_web::test]
async fn times_at_the_edges() {
    let event = |time: &str| json!({"ad_id": 1, "kind": "click", "occurred_at": time}).to_string();
    for (time, code) in [
        ("1969-12-31T23:59:59.999Z", "invalid_occurred_at"),
        ("2026-11-22T05:00:00", "invalid_occurred_at"),
        ("22.11.2026", "invalid_occurred_at"),
        ("", "invalid_occurred_at"),
        ("1970-01-01T00:00:00Z", "too_old"),
        ("2026-10-18T05:59:59.999Z", "too_old"),
        ("9999-12-31T23:59:59.999Z", "in_future"),
        ("2026-11-22T06:05:00.001Z", "in_future"),
    ] {
        refuses(code, event(time)).await;
    }
    for (time, instant) in [
        ("2026-10-18T06:00:00Z", "2026-10-18T06:00:00Z"),
        ("2026-11-22T06:05:00.0009Z", "2026-11-22T06:05:00Z"),
        ("2026-11-22T20:00:00+14:00", "2026-11-22T06:00:00Z"),
        ("2026-11-21T18:00:00-12:00", "2026-11-22T06:00:00Z"),
        ("2026-11-21T23:59:59.999999Z", "2026-11-21T23:59:59.999Z"),
    ] {
        assert_eq!(
            accepts(event(time)).await.occurred_at(),
            at(instant),
            "{time}"
        );
    }
}

#[actix_web::test]
async fn addresses_of_every_kind() {
    let event = |ip: &str| json!({"ad_id": 1, "kind": "click", "ip": ip}).to_string();
    for ip in [
        "fe80::1%eth0",
        "999.1.1.1",
        "1.2.3",
        "203.0.113.9:80",
        "localhost",
        "",
    ] {
        refuses("invalid_ip", event(ip)).await;
    }
}

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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_body_gets_an_answer_that_keeps_its_promise(body in prop::collection::vec(any::<u8>(), 0..200), ndjson: bool) {
        answers_every_item(body, ndjson);
    }

    #[test]
    fn almost_events_get_an_answer_that_keeps_its_promise(
        events in prop::collection::vec(r#"\{"ad_id":[0-9]{1,2},"kind":"(click|impression|x)"\}|[\[\]{}",:0-9a]{0,8}"#, 0..20),
        ndjson: bool,
    ) {
        let body = if ndjson { events.join("\n") } else { format!("[{}]", events.join(",")) };
        answers_every_item(body.into_bytes(), ndjson);
    }
}

/// Every item is either kept or listed as rejected, each index once and in order.
fn answers_every_item(body: Vec<u8>, ndjson: bool) {
    let media_type = if ndjson {
        "application/x-ndjson"
    } else {
        "application/json"
    };
    actix_web::rt::System::new().block_on(async {
        let api = TestApi::new();
        let answer = api.post("/v1/events?ids=1", media_type, body).await;
        if answer.status == 400 {
            assert_eq!(answer.code(), "malformed_json");
            assert!(api.keeper.events().is_empty());
            return;
        }
        assert!([202, 422].contains(&answer.status.as_u16()), "{answer:?}");
        let json = answer.json();
        let rejected: Vec<_> = json["rejected"]
            .as_array()
            .unwrap()
            .iter()
            .map(|r| r["index"].as_u64().unwrap())
            .collect();
        assert!(rejected.is_sorted_by(|a, b| a < b), "{json}");
        let ids = json["ids"].as_array().unwrap();
        let without_id: Vec<_> = (0..)
            .zip(ids)
            .filter(|(_, id)| id.is_null())
            .map(|(i, _)| i)
            .collect();
        assert_eq!(rejected, without_id, "{json}");
        let kept: Vec<_> = api
            .keeper
            .events()
            .iter()
            .map(|e| json!(e.id.to_string()))
            .collect();
        assert_eq!(json["accepted"], kept.len());
        assert_eq!(
            ids.iter()
                .filter(|id| !id.is_null())
                .cloned()
                .collect::<Vec<_>>(),
            kept
        );
    });
}
