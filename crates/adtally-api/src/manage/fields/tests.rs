use serde_json::json;

use super::*;

fn sent(value: Value) -> Sent {
    serde_json::from_value(value).unwrap()
}

fn fault<T>(judge: impl FnOnce(&mut Fields) -> Option<T>) -> Option<String> {
    let mut fields = Fields::default();
    judge(&mut fields);
    fields.errors.first().map(|error| error.detail.clone())
}

#[test]
fn ids_are_whole_numbers_above_zero() {
    for good in [json!(1), json!(i64::MAX)] {
        assert_eq!(fault(|fields| fields.id("id", &sent(good))), None);
    }
    for bad in [
        json!(0),
        json!(-1),
        json!(1.0),
        json!("1"),
        json!(u64::MAX),
        json!([1]),
        json!(true),
    ] {
        assert!(
            fault(|fields| fields.id("id", &sent(bad.clone()))).is_some(),
            "{bad}"
        );
    }
}

#[test]
fn names_have_one_to_two_hundred_characters() {
    let longest = "ä".repeat(MAX_NAME_CHARS);
    let too_long = "x".repeat(MAX_NAME_CHARS + 1);
    for good in [
        "a",
        "پیشنهاد ویژه 🎉",
        "'; DROP TABLE ads; --",
        longest.as_str(),
    ] {
        assert_eq!(
            fault(|fields| fields.name("title", &sent(json!(good)))),
            None,
            "{good}"
        );
    }
    for bad in ["", "  ", "a\u{0}b", "a\nb", "\u{1b}[31m", too_long.as_str()] {
        assert!(
            fault(|fields| fields.name("title", &sent(json!(bad)))).is_some(),
            "{bad:?}"
        );
    }
    assert!(fault(|fields| fields.name("title", &Sent::Null)).is_some());
    assert_eq!(fault(|fields| fields.name("title", &Sent::Missing)), None);
}

#[test]
fn null_takes_an_address_away_and_silence_keeps_it() {
    let mut fields = Fields::default();
    assert_eq!(fields.web_address("target_url", &Sent::Missing), None);
    assert_eq!(fields.web_address("target_url", &Sent::Null), Some(None));
    let url = "https://shop.example";
    assert_eq!(
        fields.web_address("u", &sent(json!(url))),
        Some(Some(url.to_owned()))
    );
    assert_eq!(
        fields.web_address("target_url", &sent(json!("javascript:x"))),
        None
    );
    assert_eq!(fields.web_address("image_url", &sent(json!(5))), None);
    let problem = fields.finish(Some(())).unwrap_err();
    assert!(
        problem.to_string().contains("target_url, image_url"),
        "{problem}"
    );
}

#[test]
fn what_is_required_is_named_once() {
    let mut fields = Fields::default();
    let name = fields.name("title", &Sent::Null);
    fields.required("title", &Sent::Null, name);
    let missing = fields.id("advertiser_id", &Sent::Missing);
    fields.required("advertiser_id", &Sent::Missing, missing);
    let found: Vec<_> = fields
        .errors
        .iter()
        .map(|error| error.detail.as_str())
        .collect();
    assert_eq!(found, ["title is required", "advertiser_id is required"]);
}

#[test]
fn a_body_is_one_json_object_with_each_field_once() {
    #[derive(Debug, serde::Deserialize)]
    #[expect(dead_code, reason = "only read")]
    struct Named {
        name: Sent,
    }
    assert!(object::<Named>(b" {\"name\": 1, \"other\": {}} ").is_ok());
    let code = |body: &[u8]| object::<Named>(body).unwrap_err().code();
    for malformed in [&b""[..], b"{", b"{\"name\": \"\xff\"}", b"{} {}", b"nope"] {
        assert_eq!(code(malformed), ProblemCode::MalformedJson, "{malformed:?}");
    }
    for unusable in [
        &b"[1]"[..],
        b"null",
        b"5",
        b"{\"name\":1,\"name\":2}",
        b"{\"name\":1e400}",
    ] {
        assert_eq!(code(unusable), ProblemCode::InvalidFields, "{unusable:?}");
    }
}
