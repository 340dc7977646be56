//! What lasts until a person acts is told apart from what passes.

use std::time::Duration;

use adtally_domain::ReportingZone;
use adtally_store::{Store, StoreError};

use crate::support::{TestStore, ad, config, impression, store};

/// A store of a role that may do nothing but look which migrations are applied.
fn stranger(test: &TestStore) -> (Store, String) {
    let role = format!("stranger_of_{}", test.database.name());
    test.sql(&format!("CREATE ROLE {role}"));
    let url = format!("{}?options=-crole%3D{role}", test.database.url());
    (Store::connect(config(&url)), role)
}

fn told(error: &StoreError) -> (String, String) {
    let StoreError::Refused {
        statement,
        sqlstate,
        ..
    } = error
    else {
        panic!("{error:?}");
    };
    assert!(error.is_lasting() && error.is_transient());
    (statement.clone(), sqlstate.clone())
}

#[tokio::test]
async fn a_missing_grant_is_told_with_the_statement_and_its_sqlstate_until_it_is_there() {
    let test = store();
    test.save(vec![impression("2026-06-01T10:15:00Z")]).await;
    let (store, role) = stranger(&test);
    assert!(store.obstacle().await.unwrap().is_none());

    let error = store.ad(ad(1)).await.unwrap_err();
    assert_eq!(told(&error), ("SELECT ads".into(), "42501".into()));
    let error = store.claim_zone(None).await.unwrap_err();
    assert_eq!(told(&error).1, "42501");
    let batch = adtally_store::EventBatch::new(&[impression("2026-06-01T10:15:00Z")], Vec::new());
    let stored = store.store_events(ReportingZone::UTC, batch).await;
    let copy = ("COPY events".into(), "42501".into());
    assert_eq!(told(&stored.unwrap_err()), copy);
    let task = crate::support::task("adtally.aggregate_hour");
    let hour = test.hour("2026-06-01T10:15:00Z");
    let error = store
        .roll_up_hour(task, ReportingZone::UTC, hour)
        .await
        .unwrap_err();
    assert_eq!(told(&error), ("LOCK events".into(), "42501".into()));

    tokio::time::timeout(Duration::from_secs(5), store.obstacle_found())
        .await
        .expect("the watcher is woken");
    let obstacle = store
        .obstacle()
        .await
        .unwrap()
        .expect("it is refused still");
    assert!(
        obstacle.to_string().contains("SQLSTATE 42501"),
        "{obstacle}"
    );
    test.sql(&format!(
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}; \
         GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role}"
    ));
    assert!(store.obstacle().await.unwrap().is_none());
    assert_eq!(store.ad(ad(1)).await.unwrap(), None);
    test.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

#[tokio::test]
async fn a_column_a_table_or_a_function_that_is_missing_lasts() {
    for (change, sqlstate) in [
        ("ALTER TABLE ads DROP COLUMN title", "42703"),
        ("DROP TABLE ads", "42P01"),
    ] {
        let test = store();
        test.sql(change);
        let error = test.store.ads(None, 10).await.unwrap_err();
        assert_eq!(told(&error), ("SELECT ads".into(), sqlstate.into()));
    }
    let test = store();
    test.sql("DROP FUNCTION adtally_ensure_partition(date)");
    let error = test
        .try_save(vec![impression("2026-06-01T10:15:00Z")])
        .await
        .unwrap_err();
    let statement = "SELECT adtally_ensure_partition";
    assert_eq!(told(&error), (statement.into(), "42883".into()));
    assert_eq!(test.count("dead_letters"), 0);
}

#[tokio::test]
async fn what_passes_is_not_told_as_what_lasts() {
    let test = store();
    let mut config = config(test.database.url());
    config.lock_timeout = Duration::from_millis(50);
    let store = Store::connect(config);
    let raise = |sqlstate: &str| {
        test.sql(&format!(
            "CREATE OR REPLACE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ \
             BEGIN RAISE EXCEPTION 'as asked' USING ERRCODE = '{sqlstate}'; END $$"
        ));
    };
    raise("53100");
    test.sql("CREATE TRIGGER fail BEFORE INSERT ON settings FOR EACH ROW EXECUTE FUNCTION fail()");
    for sqlstate in [
        "53100", "53200", "55P03", "57014", "58030", "XX000", "40001",
    ] {
        raise(sqlstate);
        let error = store.claim_zone(None).await.unwrap_err();
        assert!(
            error.is_transient() && !error.is_lasting(),
            "{sqlstate}: {error:?}"
        );
    }
    assert!(store.obstacle().await.unwrap().is_none());
}

#[tokio::test]
async fn a_migration_that_is_not_applied_is_named_and_a_newer_one_does_no_harm() {
    let test = store();
    test.sql("INSERT INTO __diesel_schema_migrations (version) VALUES ('99991231235959')");
    test.store.check_schema().await.unwrap();
    test.sql("DELETE FROM __diesel_schema_migrations WHERE version = '20261122000800'");
    let error = test.store.check_schema().await.unwrap_err();
    let StoreError::SchemaOutdated(pending) = &error else {
        panic!("{error}");
    };
    assert_eq!(*pending, ["2026-11-22-000800_unsettled_dead_letters"]);
    assert!(error.is_lasting());
    let (store, role) = stranger(&test);
    assert!(matches!(
        store.obstacle().await.unwrap(),
        Some(StoreError::SchemaOutdated(_))
    ));
    test.sql(&format!("DROP ROLE {role}"));
}
