use proptest::prelude::*;

use super::*;

fn code(body: &[u8], media_type: MediaType) -> ProblemCode {
    raw_items(body, media_type).unwrap_err().code()
}

#[test]
fn one_object_is_one_item_and_an_array_is_its_elements() {
    assert_eq!(
        raw_items(b" {\"a\": 1}\n", MediaType::Json).unwrap(),
        [Some("{\"a\": 1}")]
    );
    let found = raw_items(b"[{\"a\":[1,2]}, 3 ,null]", MediaType::Json).unwrap();
    assert_eq!(found, [Some("{\"a\":[1,2]}"), Some("3"), Some("null")]);
    assert!(raw_items(b"[]", MediaType::Json).unwrap().is_empty());
}

#[test]
fn a_body_that_is_no_json_is_malformed_as_a_whole() {
    let bodies: [&[u8]; 14] = [
        b"",
        b" \r\n\t ",
        b"{\"ad_id\": 1",
        b"[{\"ad_id\": 1}",
        b"{} x",
        b"{}{}",
        b"[{}],",
        b"nonsense",
        b"42",
        b"null",
        b"\"text\"",
        b"[NaN]",
        b"[Infinity]",
        b"\xef\xbb\xbf{}",
    ];
    for body in bodies {
        assert_eq!(
            code(body, MediaType::Json),
            ProblemCode::MalformedJson,
            "{body:?}"
        );
    }
    assert_eq!(
        code(b"{\"a\": \"\xff\"}", MediaType::Json),
        ProblemCode::MalformedJson
    );
    assert_eq!(
        code(b"{\"a\": \"\xc0\xaf\"}", MediaType::Json),
        ProblemCode::MalformedJson
    );
    assert_eq!(
        code(b"\n \r\n", MediaType::Ndjson),
        ProblemCode::MalformedJson
    );
}

#[test]
fn every_line_of_ndjson_stands_alone() {
    let found = raw_items(b"{\"a\":1}\r\n\n  \n{\"b\n\xff\n{}", MediaType::Ndjson).unwrap();
    assert_eq!(found, [Some("{\"a\":1}"), Some("{\"b"), None, Some("{}")]);
}

#[test]
fn more_events_than_allowed_are_refused_without_being_held() {
    for (media_type, open, separator, close) in [
        (MediaType::Json, "[", ",", "]"),
        (MediaType::Ndjson, "", "\n", ""),
    ] {
        let body = |count| format!("{open}{}{close}", vec!["{}"; count].join(separator));
        assert_eq!(
            raw_items(body(MAX_EVENTS).as_bytes(), media_type)
                .unwrap()
                .len(),
            MAX_EVENTS
        );
        let over = body(MAX_EVENTS + 1);
        assert_eq!(
            code(over.as_bytes(), media_type),
            ProblemCode::TooManyEvents
        );
    }
    let million = format!("[{}]", vec!["1"; 1_000_000].join(","));
    assert_eq!(
        code(million.as_bytes(), MediaType::Json),
        ProblemCode::TooManyEvents
    );
}

#[test]
fn nesting_without_end_costs_one_item() {
    let deep = format!("[{}{}]", "[".repeat(10_000), "]".repeat(10_000));
    assert_eq!(
        raw_items(deep.as_bytes(), MediaType::Json).unwrap().len(),
        1
    );
}

proptest! {
    #[test]
    fn hostile_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..300), ndjson: bool) {
        let media_type = if ndjson { MediaType::Ndjson } else { MediaType::Json };
        let _any = raw_items(&body, media_type);
    }

    #[test]
    fn almost_json_never_panics(body in r#"[\[\]{},:"\\u0-9a-fe.+\- \n]{0,120}"#, ndjson: bool) {
        let media_type = if ndjson { MediaType::Ndjson } else { MediaType::Json };
        let _any = raw_items(body.as_bytes(), media_type);
    }

    #[test]
    fn items_keep_their_places(values in prop::collection::vec(r#"[a-z]{0,5}"#, 1..40)) {
        let objects: Vec<_> = values.iter().map(|v| format!(r#"{{"v":"{v}"}}"#)).collect();
        let expected: Vec<_> = objects.iter().map(|object| Some(object.as_str())).collect();
        let array = format!("[{}]", objects.join(" ,\n"));
        prop_assert_eq!(raw_items(array.as_bytes(), MediaType::Json).unwrap(), expected.clone());
        let lines = objects.join("\r\n");
        prop_assert_eq!(raw_items(lines.as_bytes(), MediaType::Ndjson).unwrap(), expected);
    }
}

/// Pieces that bodies of events are made of, sound and unsound.
fn entry() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        r#"{"ad_id": 7, "kind": "click"}"#,
        r#"{"ad_id": 1e400}"#,
        r#"{"ad_id": 1, "ad_id": 2}"#,
        r#"{"kind": "im\u0070ression", "more": {"a": [null, 1.5]}}"#,
        r#"{"kind": "\ud800"}"#,
        r#"[7, "click"]"#,
        "{}",
        "[]",
        "3",
        "null",
        "{\"a\": \"\u{e9}\"}",
        "{\"a\": tru}",
        "{\"a\": \"\n\"}",
    ])
}

proptest! {
    #[test]
    fn one_pass_reads_what_reading_item_by_item_does(
        found in prop::collection::vec(entry(), 0..6),
        is_array: bool,
        damage in prop::option::of((0_usize..200, any::<u8>())),
    ) {
        let mut body = found.join(",").into_bytes();
        if is_array {
            body = [b"[".as_slice(), &body, b"]"].concat();
        }
        if let Some((place, byte)) = damage && let Some(hit) = body.get_mut(place) {
            *hit = byte;
        }
        let slowly = raw_items(&body, MediaType::Json)
            .map(|items| items.into_iter().map(parse).collect::<Vec<_>>());
        let read = events(&body, MediaType::Json);
        match (read, slowly) {
            (Ok(read), Ok(slowly)) => prop_assert_eq!(read, slowly),
            (Err(read), Err(slowly)) => prop_assert_eq!(read.code(), slowly.code()),
            (read, slowly) => prop_assert!(false, "{read:?} is not {slowly:?}"),
        }
    }
}

#[test]
fn nothing_behind_the_first_item_too_many_is_read() {
    let full = vec!["0"; MAX_EVENTS].join(",");
    // What would be malformed is not looked at.
    for rest in [",0", ",0]]]", ",0,,", ",0 nonsense"] {
        let body = format!("[{full}{rest}");
        assert_eq!(
            code(body.as_bytes(), MediaType::Json),
            ProblemCode::TooManyEvents,
            "{rest}"
        );
    }
    for rest in ["", ",", "]]", " 0]"] {
        let body = format!("[{full}{rest}");
        assert_eq!(
            code(body.as_bytes(), MediaType::Json),
            ProblemCode::MalformedJson,
            "{rest}"
        );
    }
}
