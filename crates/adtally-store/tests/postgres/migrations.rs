use std::time::Duration;

use adtally_devstack::testing::{TestDatabase, TestStack};
use adtally_store::{Store, StoreError};

use crate::support::config;

/// Everything a schema is made of, as PostgreSQL itself writes it.
fn schema(database: &TestDatabase<'_>) -> String {
    [
        "SELECT c.relkind, c.relname, a.attname, format_type(a.atttypid, a.atttypmod), \
                a.attnotnull, a.attidentity, pg_get_expr(d.adbin, d.adrelid) \
         FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 \
         LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum \
         WHERE c.relnamespace = 'public'::regnamespace ORDER BY c.relname, a.attnum",
        "SELECT conrelid::regclass, conname, pg_get_constraintdef(oid) FROM pg_constraint \
         WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2",
        "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1",
        "SELECT pg_get_functiondef(oid) FROM pg_proc \
         WHERE pronamespace = 'public'::regnamespace ORDER BY proname",
    ]
    .map(|sql| database.psql(sql).unwrap())
    .join("\n--\n")
}

#[tokio::test]
async fn migrations_go_up_down_to_nothing_and_up_to_the_same_schema() {
    let database = TestStack::shared().database("migrations");
    let store = Store::connect(config(database.url()));
    let missing = store.check_schema().await.unwrap_err();
    assert!(matches!(missing, StoreError::SchemaMissing), "{missing}");

    let applied = store.migrate().await.unwrap();
    assert!(applied.len() > 1, "{applied:?}");
    store.check_schema().await.unwrap();
    let first = schema(&database);
    for table in ["events", "ad_hourly_stats", "dead_letters", "schedule_runs"] {
        assert!(first.contains(table), "{table} is missing");
    }

    let reverted = store.revert_all().await.unwrap();
    assert_eq!(reverted.len(), applied.len());
    let left = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace \
                AND relname !~ '^__diesel_schema_migrations' \
                UNION ALL SELECT proname FROM pg_proc \
                WHERE pronamespace = 'public'::regnamespace AND proname !~ '^diesel_'";
    assert_eq!(database.psql(left).unwrap().trim(), "");

    store.migrate().await.unwrap();
    assert_eq!(schema(&database), first);
}

#[tokio::test]
async fn processes_that_migrate_at_once_migrate_once() {
    let database = TestStack::shared().database("migrations at once");
    let stores: Vec<Store> = (0..4)
        .map(|_| Store::connect(config(database.url())))
        .collect();
    let (a, b, c, d) = tokio::join!(
        stores[0].migrate(),
        stores[1].migrate(),
        stores[2].migrate(),
        stores[3].migrate()
    );
    let mut applied: Vec<usize> = [a, b, c, d].map(|applied| applied.unwrap().len()).into();
    applied.sort_unstable();
    assert_eq!(applied[..3], [0, 0, 0]);
    assert!(applied[3] > 1);
    assert_eq!(stores[0].migrate().await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_migration_lets_others_pass_while_it_waits_and_says_who_holds_the_lock() {
    let database = TestStack::shared().database("migrations wait");
    let mut config = config(database.url());
    config.call_timeout = Duration::from_secs(6);
    let store = Store::connect(config);
    store.migrate().await.unwrap();
    // As if the migration that adds this column were still to come.
    let undo = "ALTER TABLE dirty_hours DROP COLUMN added; \
                DELETE FROM __diesel_schema_migrations WHERE version = '20261130001110'";
    database.psql(undo).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| database.psql("BEGIN; SELECT FROM dirty_hours; SELECT pg_sleep(120)"));
        crate::support::blocking(async {
            let is = |sql: &str| database.psql(sql).unwrap().trim() == "t";
            let until = async |sql: &str| {
                let begun = std::time::Instant::now();
                while !is(sql) {
                    assert!(begun.elapsed() < Duration::from_secs(20), "never: {sql}");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            until("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database())").await;
            let migrating = store.migrate();
            let others = async {
                until("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database())").await;
                // Behind a lock that is waited for without end it would never come.
                let insert =
                    "SET lock_timeout = '15s'; INSERT INTO dirty_hours (hour) VALUES (now())";
                database.psql(insert).unwrap();
            };
            let (migrated, ()) = tokio::join!(migrating, others);
            let error = migrated.unwrap_err();
            assert!(matches!(error, StoreError::LockHeld { .. }), "{error:?}");
            let text = error.to_string();
            assert!(
                text.contains("added_by_mark") && text.contains("process "),
                "{text}"
            );
            assert!(text.contains("psql"), "{text}");
            database
                .psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()")
                .unwrap();
            assert_eq!(store.migrate().await.unwrap(), ["20261130001110"]);
        });
    });
}
