use adtally_domain::{AdId, AdvertiserId};
use adtally_store::{AdPatch, AdTarget, AdsWatermark, NewAd, NewAdvertiser, StoreError};

use crate::support::{TestStore, ad, store};

fn advertiser(id: i64) -> AdvertiserId {
    AdvertiserId::new(id).unwrap()
}

async fn with_advertiser() -> TestStore {
    let store = store();
    let new = NewAdvertiser {
        id: Some(advertiser(7)),
        name: "Acme".to_owned(),
    };
    store.store.create_advertiser(new).await.unwrap();
    store
}

fn new_ad(id: Option<AdId>) -> NewAd {
    NewAd {
        id,
        advertiser_id: advertiser(7),
        title: "Anvils".to_owned(),
        image_url: None,
        target_url: Some("https://example.com/".to_owned()),
        approved: false,
    }
}

#[tokio::test]
async fn ids_are_chosen_by_the_ad_server_or_made() {
    let store = with_advertiser().await;
    let create = |id| store.store.create_ad(new_ad(id));
    assert_eq!(create(Some(ad(i64::MAX))).await.unwrap().id, ad(i64::MAX));
    assert_eq!(create(Some(ad(41))).await.unwrap().id, ad(41));
    assert_eq!(create(None).await.unwrap().id, ad(42));
    let error = create(Some(ad(42))).await.unwrap_err();
    assert!(
        matches!(error, StoreError::Conflict { what: "ad", id: 42 }),
        "{error}"
    );

    let new = NewAdvertiser {
        id: Some(advertiser(7)),
        name: "Other".to_owned(),
    };
    let error = store.store.create_advertiser(new).await.unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::Conflict {
                what: "advertiser",
                id: 7
            }
        ),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_made_at_once_are_all_different() {
    let store = with_advertiser().await;
    let create = || async { store.store.create_ad(new_ad(None)).await.unwrap().id };
    let made = tokio::join!(create(), create(), create(), create());
    let mut made = vec![made.0, made.1, made.2, made.3];
    made.sort_unstable();
    assert_eq!(made, [ad(1), ad(2), ad(3), ad(4)]);
}

#[tokio::test]
async fn an_ad_belongs_to_an_advertiser_that_exists() {
    let store = with_advertiser().await;
    let mut new = new_ad(None);
    new.advertiser_id = advertiser(8);
    let error = store.store.create_ad(new).await.unwrap_err();
    assert!(
        matches!(error, StoreError::UnknownAdvertiser(id) if id == advertiser(8)),
        "{error}"
    );

    let id = store.store.create_ad(new_ad(None)).await.unwrap().id;
    let patch = AdPatch {
        advertiser_id: Some(advertiser(8)),
        ..AdPatch::default()
    };
    let error = store.store.update_ad(id, patch).await.unwrap_err();
    assert!(matches!(error, StoreError::UnknownAdvertiser(_)), "{error}");
}

#[tokio::test]
async fn a_patch_changes_what_it_names_and_nothing_else() {
    let store = with_advertiser().await;
    let id = store.store.create_ad(new_ad(None)).await.unwrap().id;
    let patch = AdPatch {
        target_url: Some(None),
        approved: Some(true),
        ..AdPatch::default()
    };
    let changed = store.store.update_ad(id, patch).await.unwrap().unwrap();
    assert_eq!(
        (changed.target_url.as_deref(), changed.approved),
        (None, true)
    );
    assert_eq!(changed.title, "Anvils");
    assert_eq!(store.store.ad(id).await.unwrap(), Some(changed.clone()));
    let same = store.store.update_ad(id, AdPatch::default()).await.unwrap();
    assert_eq!(same, Some(changed));
    assert_eq!(
        store
            .store
            .update_ad(ad(99), AdPatch::default())
            .await
            .unwrap(),
        None
    );
    let renamed = store
        .store
        .rename_advertiser(advertiser(7), "Acme Ltd".to_owned())
        .await;
    assert_eq!(renamed.unwrap().unwrap().name, "Acme Ltd");
}

#[tokio::test]
async fn lists_go_on_where_they_ended() {
    let store = with_advertiser().await;
    for id in [5, 1, 3] {
        store.store.create_ad(new_ad(Some(ad(id)))).await.unwrap();
    }
    let first = store.store.ads(None, 2).await.unwrap();
    assert_eq!([first[0].id, first[1].id], [ad(1), ad(3)]);
    let rest = store.store.ads(Some(ad(3)), 2).await.unwrap();
    assert_eq!((rest.len(), rest[0].id), (1, ad(5)));
    assert_eq!(store.store.advertisers(None, 5).await.unwrap().len(), 1);
    assert!(
        store
            .store
            .advertiser(advertiser(7))
            .await
            .unwrap()
            .is_some()
    );
    assert!(
        store
            .store
            .advertiser(advertiser(1))
            .await
            .unwrap()
            .is_none()
    );
}

async fn approve(store: &TestStore, id: i64) {
    let patch = AdPatch {
        approved: Some(true),
        ..AdPatch::default()
    };
    store.store.update_ad(ad(id), patch).await.unwrap();
}

fn ids(targets: &[AdTarget]) -> Vec<i64> {
    targets.iter().map(|target| target.id.get()).collect()
}

/// The point from which on nothing is read, which comes once all transactions of now are over; those of
/// other databases count too.
async fn nothing_new(store: &TestStore, mut since: AdsWatermark) -> AdsWatermark {
    for _ in 0..400 {
        let changes = store.store.ad_changes(since).await.unwrap().unwrap();
        if changes.ads.is_empty() {
            return changes.watermark;
        }
        since = changes.watermark;
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    panic!("changes are read for ever");
}

#[tokio::test]
async fn targets_are_read_in_parts_and_then_only_what_changed() {
    let store = with_advertiser().await;
    for id in [1, 3, 5, 7] {
        store.store.create_ad(new_ad(Some(ad(id)))).await.unwrap();
    }
    for id in [1, 5, 7] {
        approve(&store, id).await;
    }
    let since = store.store.ads_watermark().await.unwrap();
    let first = store.store.ad_targets(None, 2).await.unwrap();
    assert_eq!(ids(&first), [1, 5]);
    let rest = store.store.ad_targets(Some(ad(5)), 2).await.unwrap();
    assert_eq!(ids(&rest), [7]);

    let nothing = nothing_new(&store, since).await;
    // Also one that is written past every build of ours.
    store.sql("UPDATE ads SET approved = false WHERE id = 7");
    approve(&store, 3).await;
    let changes = store.store.ad_changes(nothing).await.unwrap().unwrap();
    let mut changed = ids(&changes.ads);
    changed.sort_unstable();
    assert_eq!(changed, [3, 7]);
}

#[tokio::test]
async fn a_change_that_is_committed_after_a_later_one_is_not_missed() {
    let store = with_advertiser().await;
    for id in [1, 2] {
        store.store.create_ad(new_ad(Some(ad(id)))).await.unwrap();
    }
    std::thread::scope(|scope| {
        let session = |sql: &'static str| {
            let database = &store.database;
            scope.spawn(move || database.psql(sql))
        };
        session("SELECT pg_advisory_lock(7), pg_sleep(60)");
        crate::support::blocking(async {
            let held = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 7 AND granted)";
            store.until(held).await;
            let slow = session(
                "BEGIN; UPDATE ads SET approved = true WHERE id = 1; \
                 SELECT pg_advisory_xact_lock(7); COMMIT",
            );
            let waits =
                "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)";
            store.until(waits).await;
            let since = store.store.ads_watermark().await.unwrap();
            approve(&store, 2).await;
            let first = store.store.ad_changes(since).await.unwrap().unwrap();
            assert!(ids(&first.ads).contains(&2));
            store.sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE wait_event = 'PgSleep' AND datname = current_database()",
            );
            slow.join().unwrap().unwrap();
            let then = store
                .store
                .ad_changes(first.watermark)
                .await
                .unwrap()
                .unwrap();
            assert!(ids(&then.ads).contains(&1), "{then:?}");
            nothing_new(&store, then.watermark).await;
        });
    });
}
