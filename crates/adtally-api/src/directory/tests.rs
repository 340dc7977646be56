use adtally_service::ExitKind;
use adtally_store::StoreConfig;

use super::*;
use crate::testing::TestApi;

fn ad(id: i64, approved: bool, target_url: Option<&str>) -> AdTarget {
    AdTarget {
        id: AdId::new(id).unwrap(),
        target_url: target_url.map(str::to_owned),
        approved,
    }
}

fn target(directory: &Directory, id: i64) -> Target {
    directory.target(AdId::new(id).unwrap())
}

#[test]
fn only_approved_ads_with_a_web_address_lead_somewhere() {
    let directory = Directory::default();
    assert_eq!(target(&directory, 1), Target::NotLoaded);
    let ads = vec![
        ad(1, true, Some("https://example.com/a?b=ö")),
        ad(2, false, Some("https://example.com/")),
        ad(3, true, None),
        ad(4, true, Some("javascript:alert(1)")),
    ];
    directory.fill(ads);
    let expected = HeaderValue::from_static("https://example.com/a?b=%C3%B6");
    assert_eq!(target(&directory, 1), Target::To(expected));
    for id in [2, 3, 4, 5] {
        assert_eq!(target(&directory, id), Target::Nowhere, "{id}");
    }
}

#[test]
fn what_is_written_during_a_read_stands_over_the_rows_and_never_holds_the_read_up() {
    let directory = Directory::default();
    directory.fill(Vec::new());
    let old = || ad(1, true, Some("https://old.example/"));
    directory.begin_read();
    directory.put(AdId::new(1).unwrap(), true, Some("https://new.example/"));
    directory.put(AdId::new(2).unwrap(), false, Some("https://new.example/"));
    let read = vec![old(), ad(2, true, Some("https://old.example/"))];
    directory.end_part(None, None, read);
    let new = HeaderValue::from_static("https://new.example/");
    assert_eq!(target(&directory, 1), Target::To(new));
    assert_eq!(target(&directory, 2), Target::Nowhere);
    directory.put(AdId::new(1).unwrap(), false, None);
    assert_eq!(target(&directory, 1), Target::Nowhere);
    // A later read knows better than what was written before it.
    directory.fill(vec![old()]);
    let old = HeaderValue::from_static("https://old.example/");
    assert_eq!(target(&directory, 1), Target::To(old));
}

#[test]
fn a_part_replaces_what_is_between_its_ends_and_nothing_else() {
    let directory = Directory::default();
    let at = |id| ad(id, true, Some("https://example.com/"));
    directory.fill((1..=9).map(at).collect());
    directory.begin_read();
    directory.end_part(AdId::new(3), AdId::new(6), vec![at(5), at(6)]);
    let leads = |id: &i64| target(&directory, *id) != Target::Nowhere;
    let left: Vec<i64> = (1..=9).filter(leads).collect();
    assert_eq!(left, [1, 2, 3, 5, 6, 7, 8, 9]);
    directory.end_part(AdId::new(6), None, Vec::new());
    let left: Vec<i64> = (1..=9).filter(leads).collect();
    assert_eq!(left, [1, 2, 3, 5, 6]);
}

#[cfg(feature = "bundled-pq")]
#[tokio::test]
async fn a_database_that_this_build_cannot_reach_by_tls_is_not_waited_for() {
    let mut config = StoreConfig::new("postgres://127.0.0.1:1/none?sslmode=require");
    config.connect_timeout = Duration::from_millis(100);
    let store = Store::connect(config);
    let (directory, shutdown) = (Directory::default(), Shutdown::manual());
    let fresh = keep_fresh(&directory, &store, &shutdown);
    let ended = tokio::time::timeout(Duration::from_secs(30), fresh).await;
    let failure = ended.expect("nothing is waited for").unwrap_err();
    assert_eq!(failure.kind, ExitKind::Configuration);
    assert!(failure.message.starts_with("--database-url: "), "{failure}");
}

#[actix_web::test]
async fn a_refresh_reads_what_changed_and_not_all_ads() {
    let (api, database) = TestApi::with_database("UTC");
    let (directory, store) = (Directory::default(), &api.context.store);
    database
        .psql(
            "INSERT INTO advertisers (id, name) VALUES (1, 'Shop'); \
             INSERT INTO ads (id, advertiser_id, title, approved, target_url) SELECT id, 1, 'Sale', \
             true, 'https://old.example/' FROM generate_series(1, 3) AS id",
        )
        .unwrap();
    let read = directory.refresh(store, None).await.unwrap();
    // A row that is gone leaves no change: it shows whether all were read.
    database
        .psql(
            "DELETE FROM ads WHERE id = 1; \
             UPDATE ads SET target_url = 'https://new.example/' WHERE id = 2; \
             UPDATE ads SET approved = false WHERE id = 3",
        )
        .unwrap();
    directory.refresh(store, Some(read)).await.unwrap();
    let to = |url: &'static str| Target::To(HeaderValue::from_static(url));
    assert_eq!(target(&directory, 1), to("https://old.example/"));
    assert_eq!(target(&directory, 2), to("https://new.example/"));
    assert_eq!(target(&directory, 3), Target::Nowhere);
    directory.refresh(store, None).await.unwrap();
    assert_eq!(target(&directory, 1), Target::Nowhere);
}
