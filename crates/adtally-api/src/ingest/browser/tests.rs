//! What pixels and clicks answer, and what they count.

use std::time::{Duration, Instant};

use actix_web::http::Method;
use actix_web::test::TestRequest;
use adtally_domain::EventKind;

use crate::ingest::sink::Durability;
use crate::testing::{Answer, TestApi, at};

const TARGET: &str = "https://shop.example/landing?x=1";

fn assert_is_the_picture(answer: &Answer) {
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "image/gif");
    assert!(answer.header("cache-control").contains("no-store"));
    assert_eq!(answer.body.len(), 43);
    assert!(answer.body.starts_with(b"GIF89a"));
}

#[actix_web::test]
async fn a_pixel_counts_one_impression_with_what_the_request_says() {
    let api = TestApi::new();
    let request = TestRequest::get()
        .uri("/v1/pixel.gif?ad_id=42&placement=top&visitor_id=v1&event_id=e-1&occurred_at=2026-11-22T05:00:00%2B00:00&cb=99")
        .peer_addr("203.0.113.9:1234".parse().unwrap())
        .insert_header(("x-forwarded-for", "198.51.100.1"))
        .insert_header(("user-agent", "Browser/1.0"))
        .insert_header(("referer", "https://news.example/"));
    assert_is_the_picture(&api.call(request).await);
    let [event] = &api.sink.events()[..] else {
        panic!("one event")
    };
    assert_eq!((event.kind, event.ad_id.get()), (EventKind::Impression, 42));
    assert_eq!(event.occurred_at(), at("2026-11-22T05:00:00Z"));
    assert_eq!(event.ip.unwrap().to_string(), "203.0.113.0");
    assert_eq!(event.user_agent.as_deref(), Some("Browser/1.0"));
    assert_eq!(event.referer.as_deref(), Some("https://news.example/"));
    assert_eq!(event.placement.as_deref(), Some("top"));
    assert_eq!(event.visitor_id.as_deref(), Some("v1"));
    assert_eq!(
        api.metric("adtally_events_accepted_total{kind=\"impression\"} "),
        1.0
    );
}

#[actix_web::test]
async fn the_picture_is_answered_whatever_is_wrong_with_the_event() {
    let api = TestApi::new();
    let params = (0..7_000)
        .map(|n| format!("a{n}=1"))
        .collect::<Vec<_>>()
        .join("&");
    let long = format!("ad_id=1&placement={}", "x".repeat(60_000));
    for query in [
        "",
        "ad_id=",
        "ad_id=abc",
        "ad_id=0",
        "ad_id=-1",
        "ad_id=9223372036854775808",
        "ad_id=1&ad_id=1",
        "ad_id=1&event_id=x",
        "ad_id=1&visitor_id=%00",
        "ad_id=1&visitor_id=%ff",
        "ad_id=1&occurred_at=yesterday",
        "ad_id=1&impression_id=%zz",
        "ad_id=1;ad_id=2",
        "a[]=1",
        &params,
        &long,
    ] {
        assert_is_the_picture(&api.get(&format!("/v1/pixel.gif?{query}")).await);
    }
    assert!(api.sink.events().is_empty());
}

#[actix_web::test]
async fn head_never_counts() {
    let api = TestApi::new().with_target(7, TARGET);
    let head = |uri| TestRequest::default().method(Method::HEAD).uri(uri);
    let pixel = api.call(head("/v1/pixel.gif?ad_id=7")).await;
    assert_eq!(pixel.status, 200);
    assert_eq!(pixel.header("content-type"), "image/gif");
    let click = api.call(head("/v1/click/7")).await;
    assert_eq!(
        (click.status.as_u16(), click.header("location")),
        (302, TARGET)
    );
    assert!(api.sink.events().is_empty());
}

#[actix_web::test]
async fn a_click_counts_and_goes_on_to_the_stored_target_only() {
    let api = TestApi::new().with_target(7, TARGET);
    let uri = "/v1/click/7?target_url=https://evil.example&dest=//evil&ad_id=8&impression_id=01a201d7-0b7b-7000-8000-29f3687d4dae";
    let answer = api.get(uri).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("location")),
        (302, TARGET)
    );
    assert!(answer.header("cache-control").contains("no-store"));
    let [event] = &api.sink.events()[..] else {
        panic!("one event")
    };
    assert_eq!((event.kind, event.ad_id.get()), (EventKind::Click, 7));
    assert!(event.impression_id.is_some());
}

#[actix_web::test]
async fn a_click_on_nothing_is_404_and_counts_nothing() {
    let api = TestApi::new().with_target(7, TARGET);
    for path in [
        "8",
        "0",
        "-7",
        "abc",
        "7x",
        "%37%00",
        "9223372036854775808",
        "%D9%A7",
        "07/",
        "",
    ] {
        let answer = api.get(&format!("/v1/click/{path}")).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (404, "not_found"),
            "{path}"
        );
    }
    assert!(api.sink.events().is_empty());
}

#[actix_web::test]
async fn a_click_before_the_ads_were_loaded_is_503() {
    let api = TestApi::new();
    let answer = api.get("/v1/click/7").await;
    assert_eq!(
        (answer.status.as_u16(), answer.code().as_str()),
        (503, "ads_not_loaded")
    );
    assert!(!answer.header("retry-after").is_empty());
}

#[actix_web::test]
async fn a_visitor_is_sent_on_even_when_the_click_is_refused_or_lost() {
    let api = TestApi::new().with_target(7, TARGET);
    assert_eq!(
        api.get("/v1/click/7?event_id=a&event_id=b").await.status,
        302
    );
    assert_eq!(
        api.metric("adtally_events_rejected_total{code=\"invalid_event\"} "),
        1.0
    );
    api.script(|_| Durability::Lost);
    assert_eq!(api.get("/v1/click/7").await.status, 302);
    assert_eq!(
        api.metric("adtally_events_rejected_total{code=\"not_kept\"} "),
        1.0
    );
    assert!(api.sink.events().is_empty());
}

#[actix_web::test]
async fn a_browser_does_not_wait_for_a_broker_that_is_silent() {
    let api = TestApi::that_never_hears_from_the_broker().with_target(7, TARGET);
    let started = Instant::now();
    assert_is_the_picture(&api.get("/v1/pixel.gif?ad_id=1").await);
    assert_eq!(api.get("/v1/click/7").await.status, 302);
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "{:?}",
        started.elapsed()
    );
}
