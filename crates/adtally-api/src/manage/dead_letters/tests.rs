//! Dead letters over HTTP, on a real database and a real broker.

use std::time::Duration;

use actix_web::test::TestRequest;
use adtally_broker::{BrokerConfig, ConsumerSession, Delivery};
use adtally_devstack::testing::{TestDatabase, TestStack};
use adtally_domain::{AdId, DeadLetterReason, Event, EventId, EventKind, requeued_message_id};
use adtally_store::NewDeadLetter;
use adtally_wire::pack;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::testing::{Answer, TestApi, at};

/// The letter of an event of `ad`.
fn letter(ad: i64, reason: DeadLetterReason) -> NewDeadLetter {
    let time = at("2026-06-01T10:00:00Z");
    let id = EventId::v7(time, rand::random());
    let event = Event::new(id, EventKind::Click, AdId::new(ad).unwrap(), time);
    NewDeadLetter::of_event(&event, reason, "why")
}

async fn keep(api: &TestApi, letters: &[NewDeadLetter]) {
    let store = &api.app.store;
    store.insert_dead_letters(letters.to_vec()).await.unwrap();
}

async fn post(api: &TestApi, uri: &str) -> Answer {
    api.call(TestRequest::post().uri(uri)).await
}

/// The states of all letters, oldest first.
fn states(database: &TestDatabase<'_>) -> Vec<String> {
    let states = "SELECT state FROM dead_letters ORDER BY first_seen, id";
    let states = database.psql(states).unwrap();
    states.lines().map(str::to_owned).collect()
}

#[actix_web::test]
async fn letters_are_listed_page_by_page_and_shown_whole() {
    let (api, _database) = TestApi::with_database("UTC");
    let letters: Vec<_> = (1..=5)
        .map(|ad| letter(ad, DeadLetterReason::TooOld))
        .collect();
    keep(&api, &letters).await;
    keep(&api, &[letter(1, DeadLetterReason::InvalidEvent)]).await;
    let (mut seen, base) = (
        Vec::new(),
        "/v1/dead-letters?limit=2&reason=too_old&state=new",
    );
    let mut uri = base.to_owned();
    loop {
        let page = api.get(&uri).await.json();
        let data = page["data"].as_array().unwrap();
        seen.extend(data.iter().map(|letter| letter["ad_id"].as_i64().unwrap()));
        match page["next_cursor"].as_str() {
            Some(cursor) => uri = format!("{base}&cursor={cursor}"),
            None => break,
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, [1, 2, 3, 4, 5]);
    for (query, count) in [
        ("ad_id=1", 2),
        ("ad_id=1&reason=too_old", 1),
        ("state=discarded", 0),
        ("from=2026-01-01T00:00:00Z", 6),
        ("to=2026-01-01T00:00:00%2B01:00", 0),
    ] {
        let page = api.get(&format!("/v1/dead-letters?{query}")).await.json();
        assert_eq!(page["data"].as_array().unwrap().len(), count, "{query}");
        assert_eq!(page["next_cursor"], Value::Null);
    }

    let whole = api
        .get(&format!("/v1/dead-letters/{}", letters[0].id))
        .await;
    let (status, whole) = (whole.status, whole.json());
    assert_eq!((status.as_u16(), &whole["state"]), (200, &json!("new")));
    assert_eq!(
        whole["event_id"],
        json!(letters[0].event_id.unwrap().to_string())
    );
    let body: Value = serde_json::from_str(whole["body"].as_str().unwrap()).unwrap();
    assert_eq!(
        (&body["ad_id"], &whole["body_hex"]),
        (&json!(1), &Value::Null)
    );
}

#[actix_web::test]
async fn what_makes_no_sense_is_refused_by_name() {
    let (api, _database) = TestApi::with_database("UTC");
    for (query, parameter) in [
        ("ad_id=0", "ad_id"),
        ("state=old", "state"),
        ("from=yesterday", "from"),
        ("limit=1001", "limit"),
        ("cursor=x", "cursor"),
        ("reason=%00", "reason"),
        ("state=new&state=new", "state"),
    ] {
        let answer = api.get(&format!("/v1/dead-letters?{query}")).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (400, "invalid_parameter")
        );
        assert_eq!(answer.json()["errors"][0]["field"], parameter, "{query}");
    }
    for (body, field) in [
        (json!({}), "all"),
        (json!({"all": false, "again": true}), "all"),
        (json!({"ad_id": 0}), "ad_id"),
        (json!({"state": "old"}), "state"),
        (json!({"all": true, "limit": 0}), "limit"),
        (json!({"all": true, "limit": 1_001}), "limit"),
        (json!({"all": true, "cursor": "x"}), "cursor"),
        (json!({"reason": "\u{0}"}), "reason"),
        (json!({"from": "1969-12-31T00:00:00Z"}), "from"),
        (json!({"ids": vec![Uuid::nil(); 1_001]}), "ids"),
    ] {
        for uri in ["/v1/dead-letters/requeue", "/v1/dead-letters/discard"] {
            let answer = api.post_json(uri, body.clone()).await;
            assert_eq!(
                (answer.status.as_u16(), answer.code().as_str()),
                (422, "invalid_fields")
            );
            assert_eq!(answer.json()["errors"][0]["field"], field, "{body}");
        }
    }
    // A filter that is misspelt must not become no filter.
    let misspelt = json!({"all": true, "raeson": "too_old"});
    let answer = api.post_json("/v1/dead-letters/discard", misspelt).await;
    assert_eq!(answer.code(), "invalid_fields");
    for uri in [
        "/v1/dead-letters/1",
        &format!("/v1/dead-letters/{}", Uuid::nil()),
    ] {
        assert_eq!(api.get(uri).await.code(), "not_found");
        assert_eq!(
            post(&api, &format!("{uri}/discard")).await.code(),
            "not_found"
        );
    }
}

#[actix_web::test]
async fn a_letter_is_discarded_once_and_not_after_it_was_requeued() {
    let (api, database) = TestApi::with_database("UTC");
    let kept = letter(1, DeadLetterReason::TooOld);
    keep(&api, std::slice::from_ref(&kept)).await;
    let uri = format!("/v1/dead-letters/{}/discard", kept.id);
    for already in [false, true] {
        let answer = post(&api, &uri).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let expected = json!({"id": kept.id, "state": "discarded", "already": already});
        assert_eq!(answer.json(), expected);
    }
    database
        .psql("UPDATE dead_letters SET state = 'requeued'")
        .unwrap();
    let answer = post(&api, &uri).await;
    assert_eq!(
        (answer.status.as_u16(), answer.code().as_str()),
        (409, "already_requeued")
    );
    assert_eq!(states(&database), ["requeued"]);
}

#[actix_web::test]
async fn a_letter_stays_new_while_the_broker_is_away() {
    let (api, database) = TestApi::with_database("UTC");
    let kept = letter(1, DeadLetterReason::TooOld);
    keep(&api, std::slice::from_ref(&kept)).await;
    let answer = post(&api, &format!("/v1/dead-letters/{}/requeue", kept.id)).await;
    assert_eq!(
        (answer.status.as_u16(), answer.code().as_str()),
        (503, "broker_unavailable")
    );
    let answer = api
        .post_json("/v1/dead-letters/requeue", json!({"all": true}))
        .await;
    assert_eq!(
        (answer.status.as_u16(), answer.code().as_str()),
        (503, "broker_unavailable")
    );
    assert_eq!(states(&database), ["new"]);
}

#[actix_web::test]
async fn what_was_done_is_told_also_when_the_rest_cannot_be_counted() {
    let (api, database) = TestApi::with_database("UTC");
    let letters: Vec<_> = (0..5)
        .map(|_| letter(1, DeadLetterReason::TooOld))
        .collect();
    keep(&api, &letters).await;
    // The tables are out of reach as soon as the first letters are changed.
    let sql = "CREATE FUNCTION hide() RETURNS trigger LANGUAGE plpgsql AS \
               $$ BEGIN ALTER SCHEMA public RENAME TO hidden; RETURN NULL; END $$; \
               CREATE TRIGGER hide AFTER UPDATE ON dead_letters EXECUTE FUNCTION hide()";
    database.psql(sql).unwrap();
    let body = json!({"all": true, "limit": 3});
    let answer = api.post_json("/v1/dead-letters/discard", body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = answer.json();
    assert_eq!(
        (&answer["done"], &answer["left"]),
        (&json!(3), &Value::Null)
    );
    assert!(answer.as_object().unwrap().contains_key("left"));

    let back = "ALTER SCHEMA hidden RENAME TO public; DROP TRIGGER hide ON dead_letters";
    database.psql(back).unwrap();
    let body = json!({"all": true, "cursor": answer["next_cursor"]});
    let rest = api.post_json("/v1/dead-letters/discard", body).await.json();
    assert_eq!((&rest["done"], &rest["left"]), (&json!(2), &json!(0)));
    assert_eq!(states(&database), ["discarded"; 5]);
}

/// Takes what is in the queue of clicks, once it holds `count` messages.
async fn clicks(prefix: &str, count: usize) -> Vec<Delivery> {
    let config = BrokerConfig::new(&[TestStack::shared().amqp_url()], prefix, "test").unwrap();
    let session = ConsumerSession::connect(&config).await.unwrap();
    let queue = config.topology().clicks_queue();
    let mut subscription = session.subscribe(&queue, 100).await.unwrap();
    let mut taken = Vec::new();
    let taking = async {
        while taken.len() < count {
            taken.push(subscription.next().await.unwrap().unwrap());
        }
    };
    tokio::time::timeout(Duration::from_secs(60), taking)
        .await
        .unwrap();
    assert_eq!(
        session.queue_depth(&queue).await.unwrap(),
        0,
        "nothing else is there"
    );
    session.close().await;
    taken
}

#[actix_web::test]
async fn a_letter_that_is_requeued_twice_is_sent_once() {
    let (api, database, prefix) = TestApi::with_servers();
    let kept = letter(7, DeadLetterReason::TooOld);
    keep(&api, std::slice::from_ref(&kept)).await;
    let uri = format!("/v1/dead-letters/{}/requeue", kept.id);
    for already in [false, true] {
        let answer = post(&api, &uri).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let expected = json!({"id": kept.id, "state": "requeued", "already": already});
        assert_eq!(answer.json(), expected);
    }
    let again = post(&api, &format!("{uri}?again=1")).await;
    assert_eq!(again.json()["already"], false);
    assert_eq!(
        post(&api, &format!("{uri}?again=x")).await.code(),
        "invalid_parameter"
    );
    api.app.publisher.close().await;
    assert_eq!(states(&database), ["requeued"]);
    for delivery in clicks(&prefix, 2).await {
        assert_eq!(
            delivery.properties.message_id,
            Some(requeued_message_id(kept.id))
        );
        let events = pack::decode(&delivery.body).unwrap();
        assert_eq!(events[0].as_ref().unwrap().ad_id.get(), 7);
    }
}

#[actix_web::test]
async fn many_are_requeued_in_several_requests_and_those_that_cannot_be_are_named() {
    let (api, database, prefix) = TestApi::with_servers();
    let mut letters: Vec<_> = (0..7)
        .map(|_| letter(7, DeadLetterReason::TooOld))
        .collect();
    letters[2].reason = DeadLetterReason::NotAPack;
    letters[2].source = "elsewhere".to_owned();
    letters.push(letter(8, DeadLetterReason::TooOld));
    keep(&api, &letters).await;
    let (mut done, mut failed, mut cursor) = (0, Vec::new(), Value::Null);
    for left in [4, 1, 0] {
        let mut body = json!({"ad_id": 7, "limit": 3});
        if cursor != Value::Null {
            body["cursor"] = cursor;
        }
        let answer = api.post_json("/v1/dead-letters/requeue", body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let answer = answer.json();
        done += answer["done"].as_u64().unwrap();
        failed.extend(answer["failed"].as_array().unwrap().clone());
        assert_eq!(answer["left"], left, "{answer}");
        cursor = answer["next_cursor"].clone();
    }
    assert_eq!((done, failed.len(), cursor), (6, 1, Value::Null));
    assert_eq!(failed[0]["id"], json!(letters[2].id));
    assert_eq!(failed[0]["code"], "not_requeueable");

    let ids = [letters[0].id, letters[2].id, Uuid::nil()];
    let discarded = api
        .post_json("/v1/dead-letters/discard", json!({"ids": ids}))
        .await
        .json();
    assert_eq!(
        (&discarded["done"], &discarded["left"]),
        (&json!(1), &json!(0))
    );
    let mut codes: Vec<_> = discarded["failed"].as_array().unwrap().iter().collect();
    codes.sort_by_key(|failure| failure["code"].to_string());
    assert_eq!(codes[0]["code"], "already_requeued");
    assert_eq!(codes[1]["code"], "not_found");
    api.app.publisher.close().await;
    let mut states = states(&database);
    states.sort_unstable();
    assert_eq!(
        states,
        [&["discarded", "new"][..], &["requeued"; 6]].concat()
    );
    assert_eq!(clicks(&prefix, 6).await.len(), 6);
}
