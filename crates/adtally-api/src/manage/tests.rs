//! The routes that read and write PostgreSQL, against a real one.

use adtally_domain::{EventId, EventKind};
use adtally_store::{EventBatch, TaskRun};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::testing::{TestApi, at};

const TARGET: &str = "https://shop.example/landing?x=1";

async fn with_advertiser() -> (TestApi, adtally_devstack::testing::TestDatabase<'static>) {
    let (api, database) = TestApi::with_database("UTC");
    let made = api
        .post_json("/v1/advertisers", json!({"id": 5, "name": "Shop"}))
        .await;
    assert_eq!(made.status, 201, "{made:?}");
    api.app.ads.load(&api.app.store).await.unwrap();
    (api, database)
}

#[actix_web::test]
async fn an_ad_keeps_the_id_its_server_chose_and_clicks_follow_at_once() {
    let (api, _database) = with_advertiser().await;
    let ad = json!({"id": 42, "advertiser_id": 5, "title": "Sale", "target_url": TARGET,
                    "approved": true});
    let made = api.post_json("/v1/ads", ad.clone()).await;
    assert_eq!(
        (made.status.as_u16(), made.header("location")),
        (201, "/v1/ads/42")
    );
    let expected = json!({"id": 42, "advertiser_id": 5, "title": "Sale", "image_url": null,
                          "target_url": TARGET, "approved": true});
    assert_eq!(made.json(), expected);
    assert_eq!(api.get("/v1/ads/42").await.json(), expected);
    assert_eq!(api.get("/v1/click/42").await.header("location"), TARGET);
    let again = api.post_json("/v1/ads", ad).await;
    assert_eq!(
        (again.status.as_u16(), again.code().as_str()),
        (409, "already_exists")
    );
}

#[actix_web::test]
async fn a_change_keeps_what_it_does_not_name_and_null_takes_away() {
    let (api, _database) = with_advertiser().await;
    let ad = json!({"id": 1, "advertiser_id": 5, "title": "Sale", "target_url": TARGET,
                    "image_url": "https://cdn.example/a.png", "approved": true});
    api.post_json("/v1/ads", ad).await;
    let changed = api
        .patch_json("/v1/ads/1", json!({"title": "Sold", "image_url": null}))
        .await;
    assert_eq!(changed.status, 200);
    assert_eq!(changed.json()["title"], "Sold");
    assert_eq!(changed.json()["image_url"], Value::Null);
    assert_eq!(changed.json()["target_url"], TARGET);
    assert_eq!(api.get("/v1/click/1").await.status, 302);
    assert_eq!(
        api.patch_json("/v1/ads/1", json!({"approved": false}))
            .await
            .status,
        200
    );
    assert_eq!(api.get("/v1/click/1").await.status, 404);
    api.patch_json("/v1/ads/1", json!({"approved": true, "target_url": null}))
        .await;
    assert_eq!(api.get("/v1/click/1").await.status, 404);
    assert_eq!(api.patch_json("/v1/ads/1", json!({})).await.status, 200);
    assert_eq!(
        api.patch_json("/v1/ads/2", json!({"title": "x"}))
            .await
            .status,
        404
    );
}

#[actix_web::test]
async fn fields_that_break_their_rules_are_listed_and_nothing_is_written() {
    let (api, database) = with_advertiser().await;
    let ad = json!({"id": 0, "title": "", "target_url": "javascript:alert(1)", "approved": 1});
    let answer = api.post_json("/v1/ads", ad).await;
    assert_eq!(
        (answer.status.as_u16(), answer.code().as_str()),
        (422, "invalid_fields")
    );
    let json = answer.json();
    let errors = json["errors"].as_array().unwrap();
    let mut fields: Vec<_> = errors
        .iter()
        .map(|error| error["field"].as_str().unwrap())
        .collect();
    fields.sort_unstable();
    assert_eq!(
        fields,
        ["advertiser_id", "approved", "id", "target_url", "title"]
    );
    let unknown = api
        .post_json("/v1/ads", json!({"advertiser_id": 6, "title": "x"}))
        .await;
    assert_eq!(unknown.status, 422);
    assert_eq!(unknown.json()["errors"][0]["field"], "advertiser_id");
    assert_eq!(
        database.psql("SELECT count(*) FROM ads").unwrap().trim(),
        "0"
    );
    for change in [
        json!({"title": null}),
        json!({"approved": null}),
        json!({"id": 9}),
        json!([]),
    ] {
        let answer = api.patch_json("/v1/ads/1", change.clone()).await;
        assert_eq!(answer.code(), "invalid_fields", "{change}");
    }
}

#[actix_web::test]
async fn advertisers_are_made_read_renamed() {
    let (api, _database) = with_advertiser().await;
    let made = api
        .post_json("/v1/advertisers", json!({"name": "آگهی‌دهنده"}))
        .await;
    assert_eq!(made.status, 201);
    let uri = made.header("location").to_owned();
    assert_eq!(api.get(&uri).await.json(), made.json());
    let taken = api
        .post_json("/v1/advertisers", json!({"id": 5, "name": "x"}))
        .await;
    assert_eq!(taken.status, 409);
    let renamed = api
        .patch_json("/v1/advertisers/5", json!({"name": "Store"}))
        .await;
    assert_eq!(renamed.json(), json!({"id": 5, "name": "Store"}));
    assert_eq!(api.get("/v1/advertisers/99").await.status, 404);
    assert_eq!(
        api.patch_json("/v1/advertisers/99", json!({"name": "x"}))
            .await
            .status,
        404
    );
    let nameless = api.post_json("/v1/advertisers", json!({"id": 7})).await;
    assert_eq!(nameless.json()["errors"][0]["detail"], "name is required");
}

#[actix_web::test]
async fn a_list_is_read_page_by_page_without_gap_or_repeat() {
    let (api, _database) = with_advertiser().await;
    for id in [3, 1, 9, 7, 5] {
        let ad = json!({"id": id, "advertiser_id": 5, "title": "x"});
        assert_eq!(api.post_json("/v1/ads", ad).await.status, 201);
    }
    let (mut seen, mut uri) = (Vec::new(), "/v1/ads?limit=2".to_owned());
    loop {
        let page = api.get(&uri).await.json();
        seen.extend(
            page["data"]
                .as_array()
                .unwrap()
                .iter()
                .map(|ad| ad["id"].as_i64().unwrap()),
        );
        match page["next_cursor"].as_str() {
            Some(cursor) => uri = format!("/v1/ads?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen, [1, 3, 5, 7, 9]);
}

/// Stores one event of `kind` for `ad` at `time`.
async fn store(api: &TestApi, ad: i64, kind: EventKind, time: &str) {
    let intake = api.app.events.intake;
    let json = json!({"ad_id": ad, "kind": kind, "occurred_at": time}).to_string();
    let input = serde_json::from_str(&json).unwrap();
    let mut event = intake
        .accept(&input, at(time), None, rand::random::<[u8; 10]>)
        .unwrap();
    event.id = EventId::v7(at(time), rand::random());
    let zone = api
        .app
        .reporting
        .zone
        .current(&api.app.store)
        .await
        .unwrap();
    let batch = EventBatch::new(&[event], Vec::new());
    api.app.store.store_events(zone, batch).await.unwrap();
}

#[actix_web::test]
async fn a_tehran_hour_starts_at_half_past_and_empty_ones_are_zero() {
    let (api, _database) = TestApi::with_database("Asia/Tehran");
    store(&api, 7, EventKind::Impression, "2026-06-01T10:29:59.999Z").await;
    store(&api, 7, EventKind::Impression, "2026-06-01T11:30:00Z").await;
    store(&api, 7, EventKind::Click, "2026-06-01T11:31:00Z").await;
    let uri =
        "/v1/ads/7/stats?granularity=hour&from=2026-06-01T10:00:00Z&to=2026-06-01T11:30:00.001Z";
    let answer = api.get(uri).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let bucket = |start: &str, end: &str, impressions, clicks, ctr: Value, status: &str| {
        json!({"start": start, "end": end, "impressions": impressions, "clicks": clicks,
               "ctr": ctr, "status": status})
    };
    let expected = json!({"ad_id": 7, "timezone": "Asia/Tehran", "granularity": "hour", "data": [
        bucket("2026-06-01T13:00:00+03:30", "2026-06-01T14:00:00+03:30", 1, 0, json!(0.0), "open"),
        bucket("2026-06-01T14:00:00+03:30", "2026-06-01T15:00:00+03:30", 0, 0, Value::Null, "final"),
        bucket("2026-06-01T15:00:00+03:30", "2026-06-01T16:00:00+03:30", 1, 1, json!(1.0), "open"),
    ]});
    assert_eq!(answer.json(), expected);
}

#[actix_web::test]
async fn totals_of_all_ads_are_read_page_by_page() {
    let (api, _database) = TestApi::with_database("UTC");
    for (ad, time) in [
        (2, "2026-06-01T10:00:00Z"),
        (1, "2026-06-01T10:30:00Z"),
        (9, "2026-06-02T00:00:00Z"),
        (1, "2026-06-02T23:59:59.999Z"),
    ] {
        store(&api, ad, EventKind::Impression, time).await;
    }
    let zone = api
        .app
        .reporting
        .zone
        .current(&api.app.store)
        .await
        .unwrap();
    let task = TaskRun {
        task_id: Uuid::from_u128(1),
        name: "adtally.aggregate_hour".to_owned(),
        arguments: json!({}),
        worker: "tests".to_owned(),
    };
    let hour = zone.hour_of(at("2026-06-01T10:00:00Z"));
    api.app.store.roll_up_hour(task, zone, hour).await.unwrap();
    let base =
        "/v1/stats?granularity=day&from=2026-06-01T12:00:00Z&to=2026-06-02T12:00:00Z&limit=1";
    let (mut seen, mut uri) = (Vec::new(), base.to_owned());
    loop {
        let page = api.get(&uri).await.json();
        for row in page["data"].as_array().unwrap() {
            seen.push(format!(
                "{} {}: {}",
                row["start"], row["ad_id"], row["impressions"]
            ));
        }
        match page["next_cursor"].as_str() {
            Some(cursor) => uri = format!("{base}&cursor={cursor}"),
            None => break,
        }
    }
    let (first, second) = (
        "\"2026-06-01T00:00:00+00:00\"",
        "\"2026-06-02T00:00:00+00:00\"",
    );
    let expected = [
        format!("{first} 1: 1"),
        format!("{first} 2: 1"),
        format!("{second} 1: 1"),
        format!("{second} 9: 1"),
    ];
    assert_eq!(seen, expected);
}
