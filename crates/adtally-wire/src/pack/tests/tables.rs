//! Packs that name the values of their entries once.

use super::*;

#[test]
fn fields_may_come_in_any_order_and_new_ones_are_ignored() {
    let id = "01a201d7-0b7b-7000-8000-000000000001";
    let fields = json!([
        "campaign",
        "received_at",
        "ad_id",
        "event_id",
        "source",
        "ip"
    ]);
    let body = table(
        &fields,
        &json!([[{"nested": [1, 2]}, 1_795_327_200_123_i64, 5, id, "s"],
                [null, "2026-11-22T06:00:00.123Z", 5, id, "s", null]]),
    );
    let events: Vec<_> = decode(&body)
        .unwrap()
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(events[0], events[1]);
    assert_eq!(events[0].id.as_uuid().to_string(), id);
    assert_eq!((events[0].kind, events[0].ip), (EventKind::Click, None));
    assert_eq!(events[0].source.as_deref(), Some("s"));
}

#[test]
fn a_kind_may_stand_in_each_entry() {
    let body = json!({"v": 2, "fields": ["kind", "ad_id", "event_id", "received_at"], "events": [
        ["click", 5, "01a201d7-0b7b-7000-8000-000000000001", 0],
        ["impression", 5, "01a201d7-0b7b-7000-8000-000000000002", 0]]});
    let events = decode(body.to_string().as_bytes()).unwrap();
    let kinds: Vec<_> = events
        .into_iter()
        .map(|event| event.unwrap().kind)
        .collect();
    assert_eq!(kinds, [EventKind::Click, EventKind::Impression]);
}

#[test]
fn a_bad_entry_of_a_table_is_kept_with_its_names_and_comes_back_under_them() {
    let id = "01a201d7-0b7b-7000-8000-000000000001";
    let body = table(
        &json!(["event_id", "received_at", "ad_id"]),
        &json!([[id, 1_795_327_200_123_i64, -5], [id], [id, 0, 5, 6]]),
    );
    let mut entries = decode(&body).unwrap().into_iter().map(Result::unwrap_err);
    let bad = entries.next().unwrap();
    assert_eq!(
        bad.body,
        format!(r#"{{"ad_id":-5,"event_id":"{id}","kind":"click","received_at":1795327200123}}"#)
    );
    assert_eq!((bad.event_id, bad.ad_id), (id.parse().ok(), Some(-5)));
    let mended = of_entry(bad.body.replace("-5", "5").as_bytes());
    let event = decode(&mended).unwrap().pop().unwrap().unwrap();
    assert_eq!(event.received_at.as_millis(), 1_795_327_200_123);
    assert_eq!(entries.next().unwrap().reason, "missing field `ad_id`");
    let too_long = entries.next().unwrap();
    assert_eq!(too_long.body, format!(r#"["{id}",0,5,6]"#));
    assert_eq!(
        too_long.reason,
        "it has more values than the pack has fields"
    );
}

#[test]
fn names_that_are_too_long_are_not_repeated_for_each_entry() {
    let long = "n".repeat(1_100);
    for (kind, field) in [("click", long.as_str()), (&long, "ad_id")] {
        let body = json!({"v": 2, "kind": kind, "fields": [field], "events": [[0], [0]]});
        let refused = decode(body.to_string().as_bytes()).unwrap_err();
        assert!(refused.to_string().contains("1024 bytes"), "{refused}");
    }
}

#[test]
fn an_entry_without_names_is_none_of_the_first_version() {
    let id = "01a201d7-0b7b-7000-8000-000000000001";
    let entry = format!(r#"["{id}","click",5,"2026-11-22T06:00:00Z"]"#);
    let bad = decode(&of_entry(entry.as_bytes())).unwrap().pop().unwrap();
    let bad = bad.unwrap_err();
    assert_eq!((bad.reason.as_str(), bad.body), ("it is no object", entry));
}

#[test]
fn an_entry_is_read_alike_the_fast_way_and_the_other() {
    let id = "01a201d7-0b7b-7000-8000-000000000001";
    let values = [
        ("5,17", true),
        ("05,17", false),
        ("00,17", false),
        ("0,17", false),
        ("5,017", false),
        ("5,0", true),
        ("9223372036854775807,17", true),
        ("9223372036854775808,17", false),
        ("5,-17", false),
        ("5,17,", false),
        ("5,17,null", true),
        ("5,17,nullx", false),
        (r#"5,17,"192.0.2.1""#, true),
        (r#"5,17,"192.0.2.01""#, false),
        (r#"5,17,"2001:db8::1""#, true),
        ("5,17,null,null,null,null,null,null,null,null", false),
    ];
    for (values, is_read) in values {
        let tail = format!(r#"["{id}",5,17],["{id}",{values}],["{id}",5,170]]}}"#);
        let body = format!("{}{tail}", format::prefix(EventKind::Click)).into_bytes();
        let entries = decode(&body);
        assert_eq!(entries, decode_any(&body), "{values}");
        let is_whole = entries.is_ok_and(|entries| entries.iter().all(Result::is_ok));
        assert_eq!(is_whole, is_read, "{values}");
    }
}
