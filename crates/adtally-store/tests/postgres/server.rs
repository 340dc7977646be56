//! The server that everything rests on, and what may lie before it.

use adtally_devstack::testing::{PgBouncer, TestDatabase, TestStack};
use adtally_store::{Store, StoreError};

use crate::support::{TestStore, config, impression, store, task};

const HOUR: &str = "2026-06-01T10:15:00Z";

fn is_refused(result: Result<(), StoreError>, words: &str) {
    let error = result.unwrap_err();
    assert!(matches!(error, StoreError::Unsuitable(_)), "{error}");
    assert!(!error.is_transient(), "{error}");
    assert!(error.to_string().contains(words), "{error}");
}

#[tokio::test]
async fn a_database_that_cannot_hold_every_text_is_refused() {
    let outer = TestStack::shared().database("encodings");
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let name = format!("{}_{}", outer.name(), encoding.to_lowercase());
        let create = format!(
            "CREATE DATABASE {name} ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' \
             TEMPLATE template0"
        );
        outer.psql(&create).unwrap();
        let store = Store::connect(config(&outer.url().replace(outer.name(), &name)));
        is_refused(store.migrate().await.map(drop), "ENCODING 'UTF8'");
        is_refused(store.ping().await, "ENCODING 'UTF8'");
        outer
            .psql(&format!("DROP DATABASE {name} WITH (FORCE)"))
            .unwrap();
    }
}

fn advisory_locks(database: &TestDatabase<'_>) -> String {
    let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' \
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    database.psql(locks).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_that_keeps_no_sessions_is_refused_before_anything_is_set_in_one() {
    let database = TestStack::shared().database("pooled");
    let pooler = PgBouncer::start("transaction", database.url())
        .await
        .unwrap();
    let stores: Vec<Store> = (0..6)
        .map(|_| Store::connect(config(pooler.url())))
        .collect();
    for store in &stores {
        let (migrated, pinged, pinged_too) =
            tokio::join!(store.migrate(), store.ping(), store.ping());
        for result in [migrated.map(drop), pinged, pinged_too] {
            is_refused(result, "pool_mode = session");
        }
    }
    assert_eq!(advisory_locks(&database).trim(), "0");
    let names = "SELECT count(*) FROM pg_stat_activity \
                 WHERE application_name LIKE 'adtally%' AND datname = current_database()";
    assert_eq!(database.psql(names).unwrap().trim(), "0");
}

#[tokio::test]
async fn a_pooler_that_keeps_sessions_does_no_harm() {
    let database = TestStack::shared().database("sessions");
    let pooler = PgBouncer::start("session", database.url()).await.unwrap();
    let mut config = config(pooler.url());
    config.pool_size = 3;
    let store = TestStore {
        url: pooler.url().to_owned(),
        database,
        store: Store::connect(config),
        zone: "UTC".parse().unwrap(),
    };
    store.store.migrate().await.unwrap();
    let event = impression(HOUR);
    for _ in 0..3 {
        store.save(vec![event.clone(), impression(HOUR)]).await;
    }
    store.roll_up_all().await;
    let report = store.store.audit(store.zone).await.unwrap();
    assert_eq!((store.count("events"), report.mismatches), (4, vec![]));
}

/// PostgreSQL 17 has `transaction_timeout`; before, there is nothing to hold.
#[tokio::test]
async fn a_limit_of_the_server_on_transactions_ends_no_roll_up() {
    let store = store();
    let known = "SELECT count(*) FROM pg_settings WHERE name = 'transaction_timeout'";
    if store.sql(known).trim() == "0" {
        return;
    }
    store.save(vec![impression(HOUR)]).await;
    store.sql(&format!(
        "ALTER DATABASE {} SET transaction_timeout = '100ms'",
        store.database.name()
    ));
    store.sql(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         PERFORM pg_sleep(0.5); RETURN NEW; END $$; \
         CREATE TRIGGER slow BEFORE INSERT ON ad_hourly_stats \
         FOR EACH ROW EXECUTE FUNCTION slow()",
    );
    let fresh = Store::connect(config(store.database.url()));
    let hour = store.hour(HOUR);
    let rolled_up = fresh.roll_up_hour(task("adtally.aggregate_hour"), store.zone, hour);
    assert_eq!(rolled_up.await.unwrap().written, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_one_connection_is_not_the_end_of_the_database() {
    let store = store();
    store.save(vec![impression(HOUR)]).await;
    store.sql(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         PERFORM pg_sleep(30); RETURN NEW; END $$; \
         CREATE TRIGGER slow BEFORE INSERT ON ad_hourly_stats \
         FOR EACH ROW EXECUTE FUNCTION slow()",
    );
    let hour = store.hour(HOUR);
    let roll_up = store
        .store
        .roll_up_hour(task("adtally.aggregate_hour"), store.zone, hour);
    let end = store.until(
        "SELECT count(pg_terminate_backend(pid)) > 0 FROM pg_stat_activity \
         WHERE wait_event = 'PgSleep' AND datname = current_database()",
    );
    let (rolled_up, ()) = tokio::join!(roll_up, end);
    let error = rolled_up.unwrap_err();
    assert!(matches!(error, StoreError::ConnectionLost(_)), "{error}");
    assert!(error.is_transient());
}
