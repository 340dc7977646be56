//! Inputs that broke other systems: none may panic, hang, be answered 5xx, or be kept by mistake.

mod any;
mod database;
mod fields;
mod requests;

use adtally_domain::EventKind;

use crate::testing::{Answer, TestApi};

/// The code of the first event that was rejected.
fn refused(answer: &Answer) -> String {
    let json = answer.json();
    json["rejected"][0]["code"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// Posts one event that must be refused with `code`.
async fn refuses(code: &str, event: impl AsRef<[u8]>) {
    let api = TestApi::new();
    let answer = api.post_events(event.as_ref()).await;
    let shown = String::from_utf8_lossy(event.as_ref())
        .chars()
        .take(200)
        .collect::<String>();
    assert_eq!(answer.status, 422, "{shown}: {answer:?}");
    assert_eq!(refused(&answer), code, "{shown}: {answer:?}");
    assert!(api.sink.events().is_empty(), "{shown}");
}

async fn accepts(event: impl AsRef<[u8]>) -> adtally_domain::Event {
    let api = TestApi::new();
    let answer = api.post_events(event.as_ref()).await;
    assert_eq!(
        answer.status,
        202,
        "{:?}: {answer:?}",
        String::from_utf8_lossy(event.as_ref())
    );
    api.sink.events().remove(0)
}

async fn malformed(body: &[u8]) {
    let answer = TestApi::new().post_events(body).await;
    assert_eq!(
        (answer.status.as_u16(), answer.code().as_str()),
        (400, "malformed_json"),
        "{body:?}"
    );
}

#[actix_web::test]
async fn bodies_that_are_not_json() {
    for body in [
        &b""[..],
        b"   \n",
        b"{\"ad_id\": 4",
        b"{} trailing",
        b"{\"ad_id\": NaN}",
        b"\xff",
    ] {
        malformed(body).await;
    }
    malformed(b"{\"ad_id\": 1, \"kind\": \"click\", \"placement\": \"\xc0\xaf\"}").await;
    malformed(b"{\"ad_id\": Infinity}").await;
}

#[actix_web::test]
async fn json_of_the_wrong_shape() {
    refuses(
        "invalid_event",
        br#"{"ad_id": 1, "ad_id": 2, "kind": "click"}"#,
    )
    .await;
    refuses("invalid_event", br#"[[1, "click"]]"#).await;
    refuses(
        "invalid_event",
        br#"{"ad_id": 1, "kind": "click", "placement": "\ud800"}"#,
    )
    .await;
    refuses("invalid_event", br#"{"ad_id": 1e400, "kind": "click"}"#).await;
    let deep = "[".repeat(10_000) + &"]".repeat(10_000);
    refuses("invalid_event", format!("[{deep}]")).await;
    refuses(
        "invalid_event",
        format!(r#"{{"ad_id": 1, "kind": "click", "placement": {deep}}}"#),
    )
    .await;
    let ignored = accepts(format!(
        r#"{{"ad_id": 1, "kind": "click", "new_field": {deep}}}"#
    ))
    .await;
    assert_eq!(ignored.kind, EventKind::Click);
}
