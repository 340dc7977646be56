//! Ads that would lead visitors astray.

use serde_json::json;

use super::subject::Subject;

/// What is no plain web address, though some browsers would make one of it.
const NO_ADDRESSES: &[&str] = &[
    "",
    " ",
    "//evil.example",
    "/path",
    "example.com",
    "https:\\\\evil.example",
    "https:/\\evil.example",
    "https:evil.example",
    "http:/evil.example",
    "http:///evil.example",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "data:text/html,x",
    "vbscript:x",
    "file:///etc/passwd",
    "ftp://example.com/",
    "mailto:a@example.com",
    "http://good.example@evil.example/",
    "http://user:pass@evil.example/",
    "http://",
    "https://?x",
    "https://#",
    "java\tscript:alert(1)",
    "ht\ntp://example.com",
    " https://example.com",
    "https://example.com ",
    "https://example.com/\r\nSet-Cookie: a=b",
    "https://example.com/\u{0}",
    "https://exa mple.com/",
    "https://example.com:99999/",
    "https://[::1/",
    "https://256.1.1.1/",
    "https://exa%00mple.com/",
];

#[test]
fn an_ad_never_leads_to_what_is_no_plain_web_address() {
    let mut subject = Subject::new("targets");
    let advertiser = json!({"id": 1, "name": "A"});
    let made = subject
        .system
        .post_as(&advertiser, "/v1/advertisers", &[])
        .status;
    subject.compare("the advertiser", made, 201);
    let long = format!("https://example.com/{}", "x".repeat(8_192));
    for address in NO_ADDRESSES.iter().copied().chain([long.as_str()]) {
        for field in ["target_url", "image_url"] {
            let ad = json!({"advertiser_id": 1, "title": "T", field: address});
            let response = subject.system.post_as(&ad, "/v1/ads", &[]);
            subject.problem(
                &format!("{field} {address:.60}"),
                &response,
                422,
                "invalid_fields",
            );
        }
    }
    for ad in [
        json!([]),
        json!({"advertiser_id": 1}),
        json!({"advertiser_id": 1, "title": ""}),
        json!({"advertiser_id": 1, "title": "a\u{0}b"}),
        json!({"advertiser_id": 1, "title": "x".repeat(201)}),
        json!({"advertiser_id": 99, "title": "T"}),
        json!({"advertiser_id": "1", "title": "T"}),
        json!({"advertiser_id": 1, "title": "T", "id": 0}),
        json!({"advertiser_id": 1, "title": "T", "approved": "yes"}),
        json!({"advertiser_id": 1, "title": "T", "target_url": 7}),
    ] {
        let response = subject.system.post_as(&ad, "/v1/ads", &[]);
        subject.problem(
            &ad.to_string()[..30.min(ad.to_string().len())],
            &response,
            422,
            "invalid_fields",
        );
    }
    subject.compare("ads", subject.system.count("SELECT count(*) FROM ads"), 0);
    let homograph = json!({"id": 8, "advertiser_id": 1, "title": "T", "approved": true,
                           "target_url": "https://аррӏе.example/"});
    let made = subject.system.post_as(&homograph, "/v1/ads", &[]).status;
    subject.compare("a name in other letters", made, 201);
    let id = subject.new_event_id();
    let led = subject.system.get(&format!("/v1/click/8?event_id={id}"));
    let location = led.header("location").unwrap_or_default().to_owned();
    subject.compare(
        "is shown for what it is",
        location.starts_with("https://xn--"),
        true,
    );
    subject.expect_stored(id);
    subject.stored_only_what_was_taken();
}
