//! Methods, paths and queries that lead nowhere.

use super::protocol::{EVENT, refused};
use super::subject::Subject;
use super::wire;

const BODY: &str = "Content-Type: application/json\r\nContent-Length: 29\r\n";

/// Paths that are none of ours, though some servers would make one of them.
const NO_PATHS: &[&str] = &[
    "//v1/events",
    "/v1//events",
    "/v1/../v1/events",
    "/v1/%2e%2e/v1/events",
    "/v1/events/",
    "/v1/events%00",
    "/v1/events%2f",
    "/v1/%zz",
    "/V1/events",
    "/v1/events;x=1",
    "/../../etc/passwd",
    "/api-docs/../../../../etc/passwd",
    "/api-docs/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "*",
];

#[test]
fn a_method_or_a_path_that_nobody_has_is_refused() {
    let mut subject = Subject::new("paths");
    let api = subject.system.api();
    for method in [
        "TRACE",
        "CONNECT",
        "PUT",
        "DELETE",
        "PATCH",
        "GET",
        "OPTIONS",
        "FROBNICATE",
        "post",
    ] {
        let request = format!(
            "{method} /v1/events HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{BODY}\r\n{EVENT}"
        );
        let heard = wire::exchange(api, request.as_bytes());
        let Some(answer) = heard.answers.first() else {
            subject.finding(format!("{method}: no answer"));
            continue;
        };
        subject.problem(method, answer, 405, "method_not_allowed");
        subject.compare(method, answer.header("allow"), Some("POST"));
    }
    for target in NO_PATHS {
        let request = format!(
            "POST {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{BODY}\r\n{EVENT}"
        );
        let heard = wire::exchange(api, request.as_bytes());
        let statuses = heard.statuses();
        let is_refused = matches!(statuses[..], [400 | 404 | 405]);
        subject.compare(
            &format!("{target} is refused, not {statuses:?}"),
            is_refused,
            true,
        );
    }
    for target in ["h:443", "http://other.example/v1/livez"] {
        let request = format!("CONNECT {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        let heard = wire::exchange(api, request.as_bytes());
        refused(&mut subject, &format!("CONNECT {target}"), &heard);
    }
    let absolute = format!(
        "POST http://h/v1/events?ids=1 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{BODY}\r\n{EVENT}"
    );
    let heard = wire::exchange(api, absolute.as_bytes());
    subject.compare("a whole URL as target", heard.statuses(), vec![202]);
    subject.kept_of(&heard);
    subject.stored_only_what_was_taken();
}

#[test]
fn a_query_that_means_nothing_is_refused() {
    let mut subject = Subject::new("queries");
    for query in ["ids=maybe", "ids=1&ids=1", "ids=%ff", "ids=%00"] {
        let response =
            subject
                .system
                .post_as(&serde_json::json!([1]), &format!("/v1/events?{query}"), &[]);
        subject.problem(query, &response, 400, "invalid_parameter");
    }
    for query in [
        "from=1&from=2",
        "limit=0",
        "limit=99999999999999999999",
        "cursor=%27%3b%20DROP%20TABLE%20events",
        "granularity=week",
        "granularity=%00",
        "from=9999-99-99",
        "to=%ff",
    ] {
        for path in ["/v1/stats", "/v1/ads/1/stats"] {
            if path != "/v1/stats" && (query.starts_with("limit") || query.starts_with("cursor")) {
                continue;
            }
            let response = subject.system.get(&format!("{path}?{query}"));
            subject.problem(
                &format!("{path}?{query}"),
                &response,
                400,
                "invalid_parameter",
            );
        }
    }
    subject.stored_only_what_was_taken();
}
