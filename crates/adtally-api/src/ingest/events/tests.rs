use std::sync::Mutex;

use actix_web::test::TestRequest;
use adtally_domain::EventKind;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde_json::json;

use crate::ingest::sink::Durability;
use crate::testing::{BODY_MEMORY, TestApi, exhaust};

fn impression(ad: i64) -> serde_json::Value {
    json!({"ad_id": ad, "kind": "impression"})
}

fn click(ad: i64) -> serde_json::Value {
    json!({"ad_id": ad, "kind": "click"})
}

#[actix_web::test]
async fn one_event_is_answered_once_it_is_kept() {
    let api = TestApi::new();
    let answer = api.post_events(impression(42).to_string()).await;
    assert_eq!(answer.status, 202);
    assert_eq!(answer.json(), json!({"accepted": 1, "rejected": []}));
    assert_eq!(api.sink.events().len(), 1);
    assert_eq!(
        api.metric("adtally_events_accepted_total{kind=\"impression\"} "),
        1.0
    );
}

#[actix_web::test]
async fn events_that_wait_for_the_broker_count_as_bodies() {
    let api = TestApi::that_never_hears_from_the_broker();
    let memory = async || {
        api.app.bodies.memory().refresh();
        api.metric("adtally_body_memory_bytes{part=\"small\"} ")
    };
    let mut waiting = Box::pin(api.post_events(impression(42).to_string()));
    assert!(futures_util::poll!(&mut waiting).is_pending());
    assert!(memory().await > 0.0);
    drop(waiting);
    assert_eq!(memory().await, 0.0);
}

#[actix_web::test]
async fn a_large_request_is_answered_like_a_small_one() {
    let api = TestApi::new();
    let mut events: Vec<_> = (1..=9_999).map(impression).collect();
    events.push(json!("nonsense"));
    let body = serde_json::to_vec(&events).unwrap();
    assert!(body.len() > 64 * 1_024);
    let request = TestRequest::post()
        .uri("/v1/events?ids=1")
        .insert_header(("content-type", "application/json"))
        .insert_header(("x-adtally-source", "dsp-1"))
        .set_payload(body);
    let answer = api.call(request).await;
    assert_eq!(answer.status, 202);
    assert_eq!(answer.header("content-type"), "application/json");
    let json = answer.json();
    assert_eq!(json["accepted"], 9_999);
    assert_eq!(json["rejected"][0]["index"], 9_999);
    assert_eq!(json["ids"].as_array().unwrap().len(), 10_000);
    let kept = api.sink.events();
    assert_eq!(kept.len(), 9_999);
    assert!(
        kept.iter()
            .all(|event| event.source.as_deref() == Some("dsp-1"))
    );
}

#[actix_web::test]
async fn a_large_request_does_no_work_on_the_thread_that_answers_others() {
    let api = TestApi::new();
    let body = format!("[{}1]", "0,".repeat(2_000_000));
    let mut large = Box::pin(api.post_events(body));
    // What is validated on this thread is done when it is polled first.
    assert!(futures_util::poll!(&mut large).is_pending());
    let answer = large.await;
    assert_eq!(
        (answer.status.as_u16(), answer.code().as_str()),
        (413, "too_many_events")
    );
}

#[actix_web::test]
async fn small_events_count_with_the_memory_they_take_and_not_with_their_bytes() {
    let api = TestApi::that_never_hears_from_the_broker();
    let body = serde_json::to_vec(&vec![click(1); 10_000]).unwrap();
    assert!(20 * body.len() < BODY_MEMORY / 8);
    // Two hundred such bodies would have room, but not the events of twenty.
    let mut waiting: FuturesUnordered<_> = (0..20).map(|_| api.post_events(body.clone())).collect();
    let refused = waiting.next().await.unwrap();
    assert_eq!(refused.status, 503);
    assert_eq!(refused.code(), "overloaded");
    api.app.bodies.memory().refresh();
    let held = api.metric("adtally_body_memory_bytes{part=\"large\"} ");
    assert!(held > 0.5 * BODY_MEMORY as f64, "{held}");
}

#[actix_web::test]
async fn events_that_were_kept_are_answered_however_little_memory_is_left_by_then() {
    for count in [2_000, 10_000] {
        let api = TestApi::new();
        let memory = api.app.bodies.memory().clone();
        let others = Mutex::new(Vec::new());
        api.script(move |_| {
            others.lock().unwrap().extend(exhaust(&memory));
            Durability::Durable
        });
        let body = serde_json::to_vec(&vec![click(1); count]).unwrap();
        let answer = api.post("/v1/events?ids=1", "application/json", body).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        assert!(answer.body.len() > 64 * 1_024);
        assert_eq!(answer.json()["accepted"], count);
        assert_eq!(api.sink.events().len(), count);
    }
}

#[actix_web::test]
async fn one_bad_event_of_a_thousand_costs_only_itself() {
    let api = TestApi::new();
    let mut events: Vec<_> = (1..=1_000).map(impression).collect();
    events[137] = json!({"ad_id": "137", "kind": "impression"});
    let body = serde_json::to_vec(&events).unwrap();
    let answer = api.post("/v1/events?ids=1", "application/json", body).await;
    assert_eq!(answer.status, 202);
    let json = answer.json();
    assert_eq!(json["accepted"], 999);
    assert_eq!(json["rejected"].as_array().unwrap().len(), 1);
    assert_eq!(json["rejected"][0]["index"], 137);
    assert_eq!(json["rejected"][0]["code"], "invalid_ad_id");
    let ids = json["ids"].as_array().unwrap();
    assert_eq!(ids.len(), 1_000);
    assert!(ids[137].is_null() && ids.iter().filter(|id| id.is_null()).count() == 1);
    let kept = api.sink.events();
    assert_eq!(ids[999], kept[998].id.to_string());
    assert_eq!(
        api.metric("adtally_events_rejected_total{code=\"invalid_ad_id\"} "),
        1.0
    );
}

#[actix_web::test]
async fn an_answer_without_a_valid_event_is_422_with_the_same_body() {
    let api = TestApi::new();
    let answer = api
        .post("/v1/events?ids=1", "application/json", b"[{}, 5]".to_vec())
        .await;
    assert_eq!(answer.status, 422);
    assert_eq!(answer.json()["accepted"], 0);
    assert_eq!(answer.json()["rejected"][0]["code"], "invalid_ad_id");
    assert_eq!(answer.json()["rejected"][1]["code"], "invalid_event");
    assert_eq!(answer.json()["ids"], json!([null, null]));
    let empty = api.post_events("[]").await;
    assert_eq!(
        (empty.status.as_u16(), empty.json()),
        (422, json!({"accepted": 0, "rejected": []}))
    );
}

#[actix_web::test]
async fn ndjson_is_validated_line_by_line() {
    let api = TestApi::new();
    let body = format!("{}\n\n{{broken\n{}\n", impression(1), click(2));
    let answer = api
        .post("/v1/events", "application/x-ndjson", body.into_bytes())
        .await;
    assert_eq!(answer.status, 202);
    assert_eq!(answer.json()["accepted"], 2);
    assert_eq!(answer.json()["rejected"][0]["index"], 1);
    assert_eq!(answer.json()["rejected"][0]["code"], "invalid_event");
}

#[actix_web::test]
async fn an_event_that_was_not_kept_is_listed_when_its_neighbours_were() {
    let api = TestApi::new();
    api.script(|event| {
        if event.kind == EventKind::Click {
            Durability::Lost
        } else {
            Durability::Durable
        }
    });
    let body = json!([click(1), impression(2), 7]).to_string();
    let answer = api
        .post("/v1/events?ids=1", "application/json", body.into_bytes())
        .await;
    assert_eq!(answer.status, 202);
    let json = answer.json();
    assert_eq!(json["accepted"], 1);
    assert_eq!(json["rejected"][0]["index"], 0);
    assert_eq!(json["rejected"][0]["code"], "not_kept");
    assert_eq!(json["rejected"][1]["index"], 2);
    assert!(json["ids"][0].is_null() && json["ids"][1].is_string() && json["ids"][2].is_null());
}

#[actix_web::test]
async fn nothing_kept_is_503_with_retry_after() {
    let api = TestApi::new();
    api.script(|_| Durability::Lost);
    let answer = api.post_events(json!([click(1), 7]).to_string()).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.code(), "not_kept");
    assert!(answer.header("retry-after").parse::<u64>().unwrap() > 0);
    assert_eq!(
        api.metric("adtally_events_accepted_total{kind=\"click\"} "),
        0.0
    );
}

#[actix_web::test]
async fn an_event_whose_fate_is_unknown_is_neither_accepted_nor_rejected() {
    let api = TestApi::new();
    api.script(|event| {
        if event.kind == EventKind::Click {
            Durability::Unknown
        } else {
            Durability::Durable
        }
    });
    let answer = api
        .post_events(json!([click(1), impression(2)]).to_string())
        .await;
    assert_eq!(
        (answer.status.as_u16(), answer.code().as_str()),
        (503, "not_kept")
    );
}

#[actix_web::test]
async fn the_source_is_kept_with_the_event_and_bounded() {
    let api = TestApi::new();
    let send = async |source: &[u8]| {
        let request = TestRequest::post()
            .uri("/v1/events")
            .insert_header(("content-type", "application/json"))
            .insert_header(("x-adtally-source", source))
            .set_payload(impression(1).to_string());
        api.call(request).await
    };
    assert_eq!(send("ویترین".as_bytes()).await.status, 202);
    assert_eq!(api.sink.events()[0].source.as_deref(), Some("ویترین"));
    assert_eq!(send(&[b'x'; 64]).await.status, 202);
    for wrong in [&[b'x'; 65][..], b"a\tb", b"\xff"] {
        let answer = send(wrong).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (400, "invalid_source")
        );
    }
    assert_eq!(api.sink.events().len(), 2);
}

#[actix_web::test]
async fn a_retry_of_the_same_body_makes_the_same_ids() {
    let api = TestApi::new();
    let body = json!([{"ad_id": 1, "kind": "click", "event_id": "auction-1",
                       "occurred_at": "2026-11-22T05:59:00Z"}])
    .to_string();
    api.post_events(body.clone()).await;
    api.post_events(body).await;
    let kept = api.sink.events();
    assert_eq!(kept[0].id, kept[1].id);
}

#[actix_web::test]
async fn the_visitors_address_is_cut_to_its_network() {
    let api = TestApi::new();
    let body = json!([{"ad_id": 1, "kind": "click", "ip": "203.0.113.9"},
                      {"ad_id": 1, "kind": "click", "ip": "::ffff:203.0.113.9"},
                      {"ad_id": 1, "kind": "click", "ip": "2001:db8:1:2::9"}]);
    api.post_events(body.to_string()).await;
    let kept: Vec<_> = api
        .sink
        .events()
        .iter()
        .map(|e| e.ip.unwrap().to_string())
        .collect();
    assert_eq!(kept, ["203.0.113.0", "203.0.113.0", "2001:db8:1::"]);
}
