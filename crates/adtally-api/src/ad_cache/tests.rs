use super::*;
use crate::testing::TestApi;

fn ad(id: i64, approved: bool, target_url: Option<&str>) -> AdTarget {
    AdTarget {
        id: AdId::new(id).unwrap(),
        target_url: target_url.map(str::to_owned),
        approved,
    }
}

fn target(ads: &AdCache, id: i64) -> Lookup<HeaderValue> {
    ads.target(AdId::new(id).unwrap())
}

#[test]
fn only_approved_ads_with_a_web_address_lead_somewhere() {
    let cache = AdCache::default();
    assert_eq!(target(&cache, 1), Lookup::NotLoaded);
    let ads = vec![
        ad(1, true, Some("https://example.com/a?b=ö")),
        ad(2, false, Some("https://example.com/")),
        ad(3, true, None),
        ad(4, true, Some("javascript:alert(1)")),
    ];
    cache.fill(ads);
    let expected = HeaderValue::from_static("https://example.com/a?b=%C3%B6");
    assert_eq!(target(&cache, 1), Lookup::Found(expected));
    for id in [2, 3, 4, 5] {
        assert_eq!(target(&cache, id), Lookup::Missing, "{id}");
    }
    cache.put(AdId::new(1).unwrap(), false, Some("https://example.com/"));
    assert_eq!(target(&cache, 1), Lookup::Missing);
}

#[cfg(feature = "bundled-pq")]
#[tokio::test]
async fn a_database_that_this_build_cannot_reach_by_tls_is_not_waited_for() {
    use std::time::Duration;

    use adtally_service::ExitKind;
    use adtally_store::StoreConfig;

    let mut config = StoreConfig::new("postgres://127.0.0.1:1/none?sslmode=require");
    config.connect_timeout = Duration::from_millis(100);
    let store = Store::connect(config);
    let (ads, shutdown) = (AdCache::default(), Shutdown::manual());
    let fresh = ads.keep_fresh(&store, &shutdown);
    let ended = tokio::time::timeout(Duration::from_secs(30), fresh).await;
    let failure = ended.expect("nothing is waited for").unwrap_err();
    assert_eq!(failure.kind, ExitKind::Configuration);
    assert!(failure.message.starts_with("--database-url: "), "{failure}");
}

#[actix_web::test]
async fn a_refresh_reads_what_changed_and_not_all_ads() {
    let (api, database) = TestApi::with_database("UTC");
    let (cache, ads) = (AdCache::default(), Ads(&api.app.store));
    database
        .psql(
            "INSERT INTO advertisers (id, name) VALUES (1, 'Shop'); \
             INSERT INTO ads (id, advertiser_id, title, approved, target_url) SELECT id, 1, 'Sale', \
             true, 'https://old.example/' FROM generate_series(1, 3) AS id",
        )
        .unwrap();
    let read = cache.0.refresh(&ads, None).await.unwrap();
    // A row that is gone leaves no change: it shows whether all were read.
    database
        .psql(
            "DELETE FROM ads WHERE id = 1; \
             UPDATE ads SET target_url = 'https://new.example/' WHERE id = 2; \
             UPDATE ads SET approved = false WHERE id = 3",
        )
        .unwrap();
    cache.0.refresh(&ads, Some(read)).await.unwrap();
    let to = |url: &'static str| Lookup::Found(HeaderValue::from_static(url));
    assert_eq!(target(&cache, 1), to("https://old.example/"));
    assert_eq!(target(&cache, 2), to("https://new.example/"));
    assert_eq!(target(&cache, 3), Lookup::Missing);
    cache.0.refresh(&ads, None).await.unwrap();
    assert_eq!(target(&cache, 1), Lookup::Missing);
}
