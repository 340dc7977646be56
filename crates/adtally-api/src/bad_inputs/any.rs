//! Whatever is sent, each item is either kept or listed as rejected.

use proptest::prelude::*;
use serde_json::json;

use crate::testing::TestApi;

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
            assert!(api.sink.events().is_empty());
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
            .sink
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
