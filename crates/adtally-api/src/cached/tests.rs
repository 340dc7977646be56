use super::*;

fn found(cached: &Cached<u32, &'static str>, key: u32) -> Option<&'static str> {
    match cached.get(&key, |value| *value) {
        Lookup::Found(value) => Some(value),
        Lookup::Missing => None,
        Lookup::NotLoaded => panic!("not loaded"),
    }
}

#[test]
fn what_is_written_during_a_read_stands_over_the_rows_and_never_holds_the_read_up() {
    let cached = Cached::default();
    assert_eq!(
        cached.get(&1, |value: &&str| value.len()),
        Lookup::NotLoaded
    );
    cached.fill(Vec::new());
    cached.begin_read();
    cached.put(1, Some("new"));
    cached.put(2, None);
    cached.end_part(None, None, vec![(1, Some("old")), (2, Some("old"))]);
    assert_eq!(found(&cached, 1), Some("new"));
    assert_eq!(found(&cached, 2), None);
    cached.put(1, None);
    assert_eq!(found(&cached, 1), None);
    // A later read knows better than what was written before it.
    cached.fill(vec![(1, Some("old"))]);
    assert_eq!(found(&cached, 1), Some("old"));
}

#[test]
fn a_part_replaces_what_is_between_its_ends_and_nothing_else() {
    let cached = Cached::default();
    let row = |key| (key, Some("row"));
    cached.fill((1..=9).map(row).collect());
    let left = || (1..=9).filter(|key| found(&cached, *key).is_some());
    cached.begin_read();
    cached.end_part(Some(3), Some(6), vec![row(5), row(6)]);
    assert_eq!(left().collect::<Vec<_>>(), [1, 2, 3, 5, 6, 7, 8, 9]);
    cached.end_part(Some(6), None, Vec::new());
    assert_eq!(left().collect::<Vec<_>>(), [1, 2, 3, 5, 6]);
}
