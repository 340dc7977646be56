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
