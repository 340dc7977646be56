use std::thread;

use super::TestStack;

#[test]
fn each_test_database_is_its_own_and_goes_with_its_test() {
    let stack = TestStack::shared();
    let (one, other) = (stack.database("one"), stack.database("one"));
    one.psql("CREATE TABLE only_here ()").unwrap();
    assert!(other.psql("TABLE only_here").is_err());
    let name = one.name().to_owned();
    drop(one);
    let known = format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'");
    assert_eq!(
        stack.postgres().psql_blocking("postgres", &known).unwrap(),
        "0"
    );
}

#[tokio::test]
async fn a_database_is_prepared_once_and_copied_for_each_test() {
    let make = || {
        TestStack::shared().prepared_database("Prepared, once", |url| {
            assert!(url.starts_with("postgres://"));
            let name = url.rsplit('/').next().unwrap();
            let sql =
                "CREATE TABLE made (at timestamptz DEFAULT now()); INSERT INTO made DEFAULT VALUES";
            TestStack::shared()
                .postgres()
                .psql_blocking(name, sql)
                .unwrap();
        })
    };
    let copies: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..6).map(|_| scope.spawn(make)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let first = copies[0].psql("SELECT at FROM made").unwrap();
    for copy in &copies {
        assert_eq!(copy.psql("SELECT at FROM made").unwrap(), first);
    }
    copies[0].psql("DROP TABLE made").unwrap();
    assert_eq!(copies[1].psql("SELECT count(*) FROM made").unwrap(), "1");
}

#[test]
fn queue_prefixes_differ_and_are_valid_names() {
    let stack = TestStack::shared();
    let (one, other) = (stack.queue_prefix("A b/ü"), stack.queue_prefix("A b/ü"));
    assert_ne!(one, other);
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    assert!(one.chars().all(allowed) && one.len() <= 64, "{one}");
}
