use super::TestStack;

#[test]
fn each_test_database_is_its_own() {
    let stack = TestStack::shared();
    let (one, other) = (stack.database("one"), stack.database("one"));
    one.psql("CREATE TABLE only_here ()").unwrap();
    assert_ne!(one.url(), other.url());
    assert!(other.psql("TABLE only_here").is_err());
}
