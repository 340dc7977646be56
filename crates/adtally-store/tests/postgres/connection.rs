use std::time::{Duration, Instant};

use adtally_domain::ReportingZone;
use adtally_store::{Store, StoreError};

use crate::support::{config, impression, store};

fn parse(zone: &str) -> ReportingZone {
    zone.parse().unwrap()
}

#[tokio::test]
async fn a_server_that_is_away_is_said_to_be_and_found_when_it_is_back() {
    let mut config = config("postgresql://adtally@127.0.0.1:1/adtally");
    config.connect_timeout = Duration::from_secs(2);
    let store = Store::connect(config);
    let begun = Instant::now();
    let error = store.ping().await.unwrap_err();
    assert!(
        matches!(error, StoreError::Unavailable(_)) && error.is_transient(),
        "{error}"
    );
    assert!(error.to_string().contains("refused"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(8));
}

#[tokio::test]
async fn connections_that_broke_are_replaced() {
    let store = store();
    store.save(vec![impression("2026-06-01T10:15:00Z")]).await;
    store.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    );
    store.save(vec![impression("2026-06-01T10:15:00Z")]).await;
    assert_eq!(store.count("events"), 2);
}

#[tokio::test]
async fn a_url_with_several_hosts_leads_to_the_one_that_answers() {
    let other = store();
    let url = other
        .database
        .url()
        .replace("127.0.0.1", "127.0.0.1:1,127.0.0.1");
    let url = format!("{url}?target_session_attrs=read-write");
    Store::connect(config(&url)).ping().await.unwrap();
}

#[tokio::test]
async fn a_connection_to_a_server_that_became_a_standby_is_given_up() {
    let store = store();
    let name = store.database.name().to_owned();
    store.sql(&format!(
        "ALTER DATABASE {name} SET default_transaction_read_only = on"
    ));
    let event = impression("2026-06-01T10:15:00Z");
    let error = store.try_save(vec![event.clone()]).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    // Only a new connection sees that the server takes writes again.
    store.sql(&format!(
        "SET default_transaction_read_only = off; \
         ALTER DATABASE {name} SET default_transaction_read_only = off"
    ));
    assert_eq!(store.save(vec![event]).await.inserted(), 1);
}

/// The grants that the guide names, for `role`.
fn grants_of_the_guide(role: &str) -> String {
    let guide = include_str!("../../../../deploy/README.md");
    let grants = guide.lines().filter(|line| line.starts_with("    GRANT "));
    let grants = grants.collect::<Vec<_>>().join("\n");
    assert!(grants.contains(" TO adtally_worker;"), "{grants}");
    grants.replace("adtally_worker", role)
}

#[tokio::test]
async fn a_worker_needs_no_more_rights_than_the_guide_says() {
    let mut store = store();
    let role = format!("writer_of_{}", store.database.name());
    store.sql(&format!(
        "CREATE ROLE {role}; {}",
        grants_of_the_guide(&role)
    ));
    let url = format!("{}?options=-crole%3D{role}", store.database.url());
    store.store = Store::connect(config(&url));
    store.store.claim_zone(None).await.unwrap();
    let mut refused = impression("2026-06-01T10:15:00Z");
    refused.user_agent = Some("\0".to_owned());
    let batch = vec![impression("2026-06-01T10:15:00Z"), refused];
    for known in [0, 1] {
        let stored = store.save(batch.clone()).await;
        assert_eq!((stored.duplicates, stored.invalid), (known, 1));
    }
    let owner =
        store.sql("SELECT relowner::regrole FROM pg_class WHERE relname = 'events_20260601'");
    assert_ne!(owner.trim(), role);

    store.roll_up_all().await;
    store.save(vec![impression("2026-06-01T10:15:00Z")]).await;
    store.roll_up_all().await;
    assert_eq!(store.count("restatements"), 2);
    store.sql("DELETE FROM events");
    let hour = store.hour("2026-06-01T10:15:00Z");
    assert_eq!(store.roll_up_hour(hour).await.missing, 2);
    store.store.forget_old_runs(Duration::ZERO).await.unwrap();
    store.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

#[cfg(not(feature = "system-pq"))]
#[tokio::test]
async fn a_url_that_asks_for_tls_gets_the_advice_where_to_find_it() {
    let other = store();
    let url = format!("{}?sslmode=require", other.database.url());
    let mut config = config(&url);
    config.connect_timeout = Duration::from_secs(2);
    let store = Store::connect(config);
    let error = store.ping().await.unwrap_err();
    assert!(
        matches!(error, StoreError::NoTls) && !error.is_transient(),
        "{error}"
    );
    assert!(matches!(
        store.migrate().await.unwrap_err(),
        StoreError::NoTls
    ));
}

#[tokio::test]
async fn a_login_that_is_refused_is_told_apart() {
    let other = store();
    let name = other.database.name();
    let port = other
        .database
        .url()
        .rsplit(':')
        .next()
        .unwrap()
        .split('/')
        .next()
        .unwrap();
    let mut config = config(&format!(
        "postgresql://nobody-we-know@127.0.0.1:{port}/{name}"
    ));
    config.connect_timeout = Duration::from_secs(2);
    let error = Store::connect(config).ping().await.unwrap_err();
    assert!(
        matches!(error, StoreError::AuthenticationFailed(_)),
        "{error}"
    );
}

#[tokio::test]
async fn sessions_are_bounded_and_named_and_commit_to_disk() {
    let other = store();
    other.sql(&format!(
        "ALTER DATABASE {} SET synchronous_commit = off",
        other.database.name()
    ));
    let mut config = config(other.database.url());
    config.application_name = "adtally-worker".to_owned();
    config.call_timeout = Duration::from_millis(500);
    let store = Store::connect(config);
    store.ping().await.unwrap();
    let session = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'adtally-worker'";
    assert_eq!(other.sql(session).trim(), "1");

    other.sql(
        "CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         IF current_setting('synchronous_commit') <> 'on' THEN RAISE 'unsafe'; END IF; \
         IF NEW.value = 'UTC' THEN RETURN NEW; END IF; PERFORM pg_sleep(5); RETURN NEW; END $$; \
         CREATE TRIGGER watch BEFORE INSERT ON settings FOR EACH ROW EXECUTE FUNCTION watch()",
    );
    store.claim_zone(None).await.unwrap();
    other.sql("DELETE FROM settings");
    let begun = Instant::now();
    let error = store
        .claim_zone(Some(parse("Asia/Tehran")))
        .await
        .unwrap_err();
    // The server's limit is as long as the call's: either may come first.
    let is_timeout = error.to_string().contains("statement timeout");
    assert!(
        is_timeout || matches!(error, StoreError::Unavailable(_)),
        "{error}"
    );
    assert!(begun.elapsed() < Duration::from_secs(3), "no call hangs");
}

#[tokio::test]
async fn no_statement_outlives_its_call() {
    let other = store();
    let mut config = config(other.database.url());
    config.call_timeout = Duration::from_millis(300);
    config.lock_timeout = Duration::from_secs(60);
    let store = Store::connect(config);
    store.ping().await.unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let hold = "BEGIN; LOCK TABLE dirty_days; SELECT pg_sleep(60)";
            other.database.psql(hold)
        });
        crate::support::blocking(async {
            other
                .until(
                    "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'dirty_days'::regclass)",
                )
                .await;
            store.pending_days().await.unwrap_err();
            let waits = "wait_event_type = 'Lock' AND datname = current_database()";
            other
                .until(&format!(
                    "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE {waits})"
                ))
                .await;
            other.sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE wait_event = 'PgSleep' AND datname = current_database()",
            );
        });
    });
}

#[tokio::test]
async fn the_first_process_decides_the_zone_for_good() {
    let test = store();
    let store = &test.store;
    assert_eq!(store.zone().await.unwrap(), None);
    let tehran = parse("Asia/Tehran");
    assert_eq!(store.claim_zone(Some(tehran)).await.unwrap(), tehran);
    assert_eq!(store.claim_zone(None).await.unwrap(), tehran);
    let error = store
        .claim_zone(Some(ReportingZone::UTC))
        .await
        .unwrap_err();
    let StoreError::ZoneMismatch { stored, asked } = &error else {
        panic!("{error}");
    };
    assert_eq!((stored.as_str(), asked.as_str()), ("Asia/Tehran", "UTC"));
    assert_eq!(store.zone().await.unwrap(), Some(tehran));
}

#[tokio::test]
async fn another_name_of_the_stored_zone_is_that_zone_and_the_stored_name_stays() {
    for (stored, asked) in [
        ("Europe/Kiev", ["Europe/Kyiv", "Europe/Kiev"]),
        ("Asia/Calcutta", ["Asia/Kolkata", "Asia/Calcutta"]),
        ("UTC", ["Etc/UTC", "GMT"]),
    ] {
        let test = store();
        let stored = parse(stored);
        assert_eq!(test.store.claim_zone(Some(stored)).await.unwrap(), stored);
        for asked in asked {
            let claimed = test.store.claim_zone(Some(parse(asked))).await.unwrap();
            assert_eq!(claimed.name(), stored.name(), "{asked}");
        }
        let other = parse("Europe/Chisinau");
        assert!(test.store.claim_zone(Some(other)).await.is_err());
    }
}

#[tokio::test]
async fn a_deployment_that_names_no_zone_reports_in_utc() {
    let test = store();
    let store = &test.store;
    assert_eq!(store.claim_zone(None).await.unwrap(), ReportingZone::UTC);
    assert!(store.claim_zone(Some(parse("Asia/Tehran"))).await.is_err());
}
