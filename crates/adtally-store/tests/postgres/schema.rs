//! `src/schema.rs` is what a freshly migrated database looks like to diesel.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::support::{TestStore, store};

const SCHEMA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/schema.rs");

/// The columns of all tables but the partitions, in the order of tables and columns.
const COLUMNS: &str = "SELECT c.relname, a.attname, \
           (CASE WHEN a.attnotnull THEN 'X' ELSE 'Nullable<X>' END), initcap(t.typname) \
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 \
         JOIN pg_type t ON t.oid = a.atttypid \
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') \
          AND NOT c.relispartition AND c.relname <> '__diesel_schema_migrations' \
          AND NOT a.attisdropped \
    ORDER BY c.relname COLLATE \"C\", a.attnum";

const KEYS: &str = "SELECT c.relname, string_agg(a.attname, ', ' ORDER BY k.n) \
    FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid \
         CROSS JOIN unnest(i.indkey) WITH ORDINALITY AS k (attnum, n) \
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum \
    WHERE i.indisprimary AND c.relnamespace = 'public'::regnamespace GROUP BY c.relname";

const REFERENCES: &str = "SELECT format('diesel::joinable!(%s -> %s (%s));', \
           conrelid::regclass, confrelid::regclass, a.attname) \
    FROM pg_constraint JOIN pg_attribute a ON a.attrelid = conrelid AND a.attnum = conkey[1] \
    WHERE contype = 'f' AND connamespace = 'public'::regnamespace ORDER BY 1";

/// What `diesel print-schema` prints.
fn print_schema(store: &TestStore) -> String {
    let keys: BTreeMap<String, String> = rows(store, KEYS)
        .map(|row| (row[0].clone(), row[1].clone()))
        .collect();
    let mut tables: BTreeMap<String, String> = BTreeMap::new();
    for row in rows(store, COLUMNS) {
        let column = row[2].replace('X', &row[3]);
        let table = tables.entry(row[0].clone()).or_default();
        writeln!(table, "        {} -> {column},", row[1]).unwrap();
    }
    let mut text = "// @generated automatically by Diesel CLI.\n\n".to_owned();
    for (table, columns) in &tables {
        let key = &keys[table];
        writeln!(
            text,
            "diesel::table! {{\n    {table} ({key}) {{\n{columns}    }}\n}}\n"
        )
        .unwrap();
    }
    for reference in rows(store, REFERENCES) {
        writeln!(text, "{}\n", reference[0]).unwrap();
    }
    text += "diesel::allow_tables_to_appear_in_same_query!(\n";
    for table in tables.keys() {
        writeln!(text, "    {table},").unwrap();
    }
    text + ");\n"
}

fn rows(store: &TestStore, sql: &str) -> impl Iterator<Item = Vec<String>> {
    let text = store.sql(sql);
    let rows: Vec<Vec<String>> = text
        .lines()
        .map(|line| line.split('|').map(str::to_owned).collect())
        .collect();
    rows.into_iter()
}

/// Set `ADTALLY_WRITE_SCHEMA=1` to write the file after a new migration.
#[test]
fn the_checked_in_schema_is_that_of_a_migrated_database() {
    let store = store();
    store.sql("SELECT adtally_ensure_partition('2026-11-22')");
    let printed = print_schema(&store);
    if std::env::var_os("ADTALLY_WRITE_SCHEMA").is_some() {
        std::fs::write(SCHEMA, &printed).unwrap();
    }
    let checked_in = std::fs::read_to_string(SCHEMA).unwrap();
    let differs = printed
        .lines()
        .zip(checked_in.lines())
        .find(|(a, b)| a != b);
    assert_eq!(differs, None, "run with ADTALLY_WRITE_SCHEMA=1");
    assert_eq!(printed.len(), checked_in.len());
}
