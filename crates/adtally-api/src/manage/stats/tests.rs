use super::*;

#[test]
fn a_cursor_is_read_back_as_it_was_written() {
    let place = StatsCursor {
        start: Timestamp::from_millis(1_795_000_000_000).unwrap(),
        ad_id: AdId::new(i64::MAX).unwrap(),
    };
    assert_eq!(cursor(&body::cursor(place)).unwrap(), place);
}
