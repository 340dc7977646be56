//! What browsers send: pixels and clicks.

use adtally_tests::http;
use serde_json::json;

use super::subject::Subject;

/// Queries of pixels that are no events.
const NO_EVENTS: &[&str] = &[
    "",
    "ad_id",
    "ad_id=",
    "ad_id=0",
    "ad_id=-1",
    "ad_id=%2B1",
    "ad_id=1.0",
    "ad_id=1e3",
    "ad_id=9223372036854775808",
    "ad_id=7&ad_id=7",
    "ad_id=7&ad_id=8",
    "ad_id[]=7",
    "ad_id%00=7",
    "ad_id=7%00",
    "ad_id=%20",
    "ad_id=%D9%A7",
    "ad_id=%ff",
    "ad_id=7;kind=click&placement=%00",
    "ad_id=7&placement=a%0d%0aSet-Cookie:%20x=1",
    "ad_id=7&visitor_id=%00",
    "ad_id=7&visitor_id=%1b[31m",
    "ad_id=7&event_id=auction-1",
    "ad_id=7&event_id=019d3751-c8ff-7ad9-bab3-b966420926c1",
    "ad_id=7&occurred_at=1970-01-01T00:00:00Z",
    "ad_id=7&occurred_at=yesterday",
    "ad_id=7&impression_id=1",
    "ad_id=7&placement=a&placement=b",
    "ad_id=7&placement=%ff",
    "?ad_id=7",
    "&&&=&=;",
];

#[test]
fn a_pixel_is_always_a_picture_and_counts_only_what_is_an_event() {
    let mut subject = Subject::new("pixels");
    let long = format!("ad_id=7&x={}", "y".repeat(15_000));
    let many: String = (0..2_500).map(|n| format!("a{n}&")).collect();
    let wide = format!("ad_id=7&placement={}", "x".repeat(129));
    for query in NO_EVENTS.iter().copied().chain([wide.as_str(), &many]) {
        picture(&mut subject, "GET", query, &[]);
    }
    let head = subject.new_event_id();
    picture(
        &mut subject,
        "HEAD",
        &format!("ad_id=7&event_id={head}"),
        &[],
    );
    for extra in [
        "",
        "&x=1&x=2&a[]=1",
        &long[7..],
        "&kind=click&dest=//evil.example",
        "&placement=a+b%20c",
        "&placement=\"کلیک\"<b>",
        "&x=<\u{80}é>",
    ] {
        let id = subject.new_event_id();
        picture(
            &mut subject,
            "GET",
            &format!("ad_id=7&event_id={id}{extra}"),
            &[],
        );
        subject.expect_stored(id);
    }
    let chain = (0..1_000)
        .map(|_| "203.0.113.9")
        .collect::<Vec<_>>()
        .join(", ");
    let strange = "x".repeat(5_000);
    for header in [
        ("X-Forwarded-For", chain.as_str()),
        ("X-Forwarded-For", "'; DROP TABLE events"),
        ("User-Agent", strange.as_str()),
        ("User-Agent", "\t\u{fe}\u{ff}"),
        ("Referer", "javascript:alert(1)\t\u{0085}"),
    ] {
        let id = subject.new_event_id();
        picture(
            &mut subject,
            "GET",
            &format!("ad_id=7&event_id={id}"),
            &[header],
        );
        subject.expect_stored(id);
    }
    let too_long = format!("/v1/pixel.gif?ad_id=7&x={}", "y".repeat(17_000));
    let response = http::request(subject.system.api(), "GET", &too_long, &[], b"");
    let status = response.map(|response| response.status).unwrap_or(400);
    subject.compare("a query of 17 KB", (400..500).contains(&status), true);
    subject.stored_only_what_was_taken();
}

fn picture(subject: &mut Subject, method: &str, query: &str, headers: &[(&str, &str)]) {
    let target = format!("/v1/pixel.gif?{query}");
    let response = http::request(subject.system.api(), method, &target, headers, b"");
    let shown: String = format!("{query} {headers:?}").chars().take(100).collect();
    let Ok(response) = response else {
        subject.finding(format!("{shown}: no answer"));
        return;
    };
    let is_picture = response.body.starts_with(b"GIF89a") || method == "HEAD";
    let caching = response.header("cache-control").unwrap_or_default();
    let seen = (response.status, is_picture, caching.contains("no-store"));
    subject.compare(&shown, seen, (200, true, true));
}

/// What stands where a click's ad should, and is none with a target.
const NO_ADS: &[&str] = &[
    "0",
    "-1",
    "2",
    "3",
    "4",
    "9223372036854775807",
    "9223372036854775808",
    "abc",
    "1.0",
    "+1",
    "1%00",
    "%2F%2Fevil.example",
    "1/https://evil.example",
    "https://evil.example",
    "1%0d%0aSet-Cookie:%20x=1",
    "..%2f1",
    "%D9%A1",
    "",
    "1/",
];

#[test]
fn a_click_leads_only_where_its_ad_says() {
    let mut subject = Subject::new("clicks");
    let target = "https://shop.example/landing?a=1";
    let advertiser = json!({"id": 1, "name": "A"});
    let made = subject
        .system
        .post_as(&advertiser, "/v1/advertisers", &[])
        .status;
    subject.compare("the advertiser", made, 201);
    for (id, target, approved) in [
        (1, Some(target), true),
        (2, Some(target), false),
        (3, None, true),
    ] {
        let ad = json!({"id": id, "advertiser_id": 1, "title": "T", "target_url": target, "approved": approved});
        let made = subject.system.post_as(&ad, "/v1/ads", &[]).status;
        subject.compare("an ad", made, 201);
    }
    for path in NO_ADS {
        let response = subject.system.get(&format!("/v1/click/{path}"));
        subject.problem(path, &response, 404, "not_found");
    }
    for query in [
        "",
        "target_url=https://evil.example",
        "dest=//evil.example&url=https:\\\\evil.example&ct0=https://evil.example",
        "ad_id=2&redirect=javascript:alert(1)",
        "target_url=%0d%0aSet-Cookie:%20x=1",
        "placement=\"کلیک\"<b>",
    ] {
        let id = subject.new_event_id();
        let location = format!("/v1/click/1?event_id={id}&{query}");
        let response = subject.system.get(&location);
        let seen = (
            response.status,
            response.header("location"),
            response.header("set-cookie"),
        );
        subject.compare(query, seen, (302, Some(target), None));
        subject.expect_stored(id);
    }
    for (method, query) in [
        ("HEAD", format!("event_id={}", subject.new_event_id())),
        ("GET", "event_id=auction-1".to_owned()),
        (
            "GET",
            format!("event_id={0}&event_id={0}", subject.new_event_id()),
        ),
        ("GET", "placement=%00".to_owned()),
        ("GET", "occurred_at=2001-01-01T00:00:00Z".to_owned()),
    ] {
        let location = format!("/v1/click/1?{query}");
        let response = http::request(subject.system.api(), method, &location, &[], b"").unwrap();
        let seen = (response.status, response.header("location"));
        subject.compare(&query, seen, (302, Some(target)));
    }
    subject.stored_only_what_was_taken();
}
