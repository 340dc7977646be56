use std::io;

use serde_json::{Value, json};

use super::*;

fn rows(text: &[u8]) -> Vec<(u64, Result<Value, &'static str>)> {
    let text = Box::new(io::Cursor::new(text.to_vec()));
    let ids = RowIds::new("label");
    let mut rows = NdjsonRows::new("f".to_owned(), text, Some(EventKind::Click), ids);
    let mut found = Vec::new();
    let mut json = Vec::new();
    while let Some(row) = rows.next(&mut json).unwrap() {
        let event = row.event.map(|_| serde_json::from_slice(&json).unwrap());
        found.push((row.line, event.map_err(|fault| fault.code)));
        json.clear();
    }
    found
}

#[test]
fn events_keep_their_fields_and_get_what_they_lack() {
    let found = rows(b"{\"ad_id\":1,\"event_id\":\"a\",\"kind\":\"impression\"}\n\n {\"ad_id\":2,\"kind\":null}\n");
    assert_eq!(
        found[0],
        (
            1,
            Ok(json!({"ad_id": 1, "event_id": "a", "kind": "impression"}))
        )
    );
    let (line, event) = &found[1];
    let event = event.clone().unwrap();
    assert_eq!((*line, &event["kind"]), (3, &json!("click")));
    assert!(event["event_id"].as_str().unwrap().starts_with("row-"));
}

#[test]
fn equal_lines_are_separate_events_in_either_line_ending() {
    let ids = |text: &[u8]| -> Vec<String> {
        let id = |(_, event): (u64, Result<Value, _>)| event.unwrap()["event_id"].to_string();
        rows(text).into_iter().map(id).collect()
    };
    let unix = ids(b"{\"ad_id\":1}\n{\"ad_id\":1}\n{\"ad_id\":2}");
    assert_eq!(
        unix,
        ids(b"{\"ad_id\":1}\r\n{\"ad_id\":1}\r\n{\"ad_id\":2}\r\n")
    );
    assert_ne!(unix[0], unix[1]);
}

#[test]
fn a_bad_line_is_refused_alone() {
    let mut text = b"{\"ad_id\":1\n[1]\n{\"x\":\"".to_vec();
    text.resize(200_000, b'y');
    text.extend(b"\"}\n{\"ad_id\":1}\n");
    let found: Vec<_> = rows(&text).into_iter().map(|(l, e)| (l, e.err())).collect();
    assert_eq!(
        found,
        [
            (1, Some("invalid_json")),
            (2, Some("invalid_json")),
            (3, Some("too_long")),
            (4, None)
        ]
    );
}

#[test]
fn a_field_that_is_there_twice_and_an_id_that_names_nothing_are_refused() {
    let text = br#"{"ad_id":1,"ad_id":2}
{"ad_id":1,"event_id":"NULL"}
{"ad_id":1,"event_id":"1.5E+12"}
{"ad_id":1,"event_id":"a","x":{"x":1,"x":2}}
"#;
    let codes: Vec<_> = rows(text).into_iter().map(|(_, e)| e.err()).collect();
    let id = Some("invalid_event_id");
    assert_eq!(codes, [Some("invalid_json"), id, id, None]);
}

#[test]
fn values_are_sent_as_they_were_written_however_deep_they_go() {
    let deep = format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000));
    let line =
        format!("{{\"ad_id\":9007199254740993,\"x\":1.10e400,\"y\":{deep},\"event_id\":\"a\"}}");
    let text = Box::new(io::Cursor::new(line.clone().into_bytes()));
    let mut rows = NdjsonRows::new("f".to_owned(), text, None, RowIds::new("l"));
    let mut json = Vec::new();
    let row = rows.next(&mut json).unwrap().unwrap();
    assert_eq!(row.event, Ok(Naming::ByFile));
    let sent = String::from_utf8(json).unwrap();
    for part in ["9007199254740993", "1.10e400", &deep] {
        assert!(sent.contains(part), "{part}");
    }
}
