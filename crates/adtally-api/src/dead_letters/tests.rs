use adtally_broker::Topology;
use adtally_domain::{EventId, EventKind, Timestamp, requeued_message_id};
use adtally_store::{DeadLetter, DeadLetterState, NewDeadLetter};
use adtally_wire::pack;
use serde_json::{Value, json};
use uuid::Uuid;

use super::parcel::{Parcel, task_of};
use super::{DeadLetterFault, WholeDeadLetter};

fn letter(source: &str, reason: &str, headers: Value, body: &[u8]) -> DeadLetter {
    DeadLetter {
        letter: NewDeadLetter {
            id: Uuid::from_u128(7),
            source: source.to_owned(),
            reason: reason.to_owned(),
            detail: String::new(),
            body: body.to_vec(),
            headers,
            event_id: EventId::from_uuid(Uuid::from_u128(7 << 76)),
            ad_id: None,
            occurred_at: None,
        },
        first_seen: Timestamp::EPOCH,
        requeued_at: None,
        state: DeadLetterState::New,
    }
}

fn topology() -> Topology {
    Topology::new("t").unwrap()
}

#[test]
fn an_event_goes_alone_in_a_pack_that_names_its_letter() {
    let event = json!({"event_id": "019d3751-c8ff-7ad9-bab3-b966420926c1", "kind": "click",
                       "ad_id": 5, "received_at": "2026-11-22T06:00:00Z"});
    let body = event.to_string();
    for source in ["store", "t.dead", "u.clicks"] {
        let letter = letter(source, "too_old", json!({}), body.as_bytes());
        assert_eq!(task_of(&letter), None);
        let parcel = Parcel::of(letter, &topology()).unwrap();
        assert_eq!(parcel.route, topology().route_of_events(EventKind::Click));
        let name = requeued_message_id(Uuid::from_u128(7));
        assert_eq!(parcel.envelope.message_id, Some(name));
        let events = pack::decode(&parcel.body).unwrap();
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].as_ref().unwrap().ad_id.get(), 5);
    }
}

#[test]
fn an_event_that_says_no_kind_goes_back_to_where_it_was_found() {
    for body in [
        "null",
        "{}",
        r#"{"kind": "view"}"#,
        r#"[{"kind": "click"}]"#,
    ] {
        let found = |source| letter(source, "invalid_event", json!({}), body.as_bytes());
        let parcel = Parcel::of(found("t.impressions"), &topology()).unwrap();
        let impressions = topology().route_of_events(EventKind::Impression);
        assert_eq!(parcel.route, impressions, "{body}");
        assert!(pack::decode(&parcel.body).unwrap()[0].is_err());
        let fault = Parcel::of(found("u.impressions"), &topology()).unwrap_err();
        assert_eq!(
            fault,
            DeadLetterFault::ForeignQueue("u.impressions".to_owned())
        );
    }
    let broken = letter("t.clicks", "invalid_event", json!({}), b"{\"kind\": ");
    assert_eq!(
        Parcel::of(broken, &topology()),
        Err(DeadLetterFault::NotJson)
    );
}

#[test]
fn a_message_goes_back_byte_for_byte_and_a_task_as_if_it_had_never_been_tried() {
    let id = "5a3c1d7e-3a51-4f57-8c3b-0a3f1d9b8e21";
    let headers = json!({
        "exchange": "t.tasks", "routing_key": "t.tasks", "message_id": id, "type": null,
        "content_type": "application/json", "content_encoding": "utf-8",
        "headers": {"task": "adtally.sweep_dirty", "id": id, "retries": 7, "eta": null,
                    "expires": "2026-01-01T00:00:00Z", "timelimit": [60, null]},
    });
    let task = letter("t.tasks", "max_attempts", headers, b"[[], {}, null]");
    assert_eq!(task_of(&task), Uuid::parse_str(id).ok());
    let parcel = Parcel::of(task, &topology()).unwrap();
    assert_eq!(Some(parcel.route), topology().route_to("t.tasks"));
    assert_eq!(parcel.body, b"[[], {}, null]");
    assert_eq!(parcel.envelope.message_id.as_deref(), Some(id));
    let headers = serde_json::to_value(&parcel.envelope.headers).unwrap();
    let fresh = json!({"task": "adtally.sweep_dirty", "id": id, "retries": 0, "eta": null,
                       "expires": null, "timelimit": [60, null]});
    assert_eq!(headers, fresh);

    let garbage = letter("t.unrouted", "not_a_pack", json!({"headers": 7}), b"\xff\0");
    assert_eq!(task_of(&garbage), None);
    let parcel = Parcel::of(garbage, &topology()).unwrap();
    assert_eq!(parcel.body, b"\xff\0");
    assert_eq!(Some(parcel.route), topology().route_to("t.unrouted"));
}

#[test]
fn a_task_that_says_all_in_its_body_is_wanted_again_and_finds_its_letter() {
    let body = json!({"task": "adtally.sweep_dirty", "id": "7", "args": [], "retries": 3,
                      "expires": "2026-01-01T00:00:00Z"});
    for message_id in [json!(null), json!("")] {
        let headers = json!({"message_id": message_id, "content_type": "application/json"});
        let body = body.to_string();
        let task = letter("t.tasks", "max_attempts", headers, body.as_bytes());
        let parcel = Parcel::of(task, &topology()).unwrap();
        let sent: Value = serde_json::from_slice(&parcel.body).unwrap();
        assert_eq!(
            (&sent["expires"], &sent["retries"]),
            (&json!(null), &json!(0))
        );
        let name = requeued_message_id(Uuid::from_u128(7));
        assert_eq!(parcel.envelope.message_id, Some(name));
    }
}

#[test]
fn a_task_found_where_none_are_run_goes_to_the_tasks() {
    let headers = json!({"content_type": "application/json",
                         "headers": {"task": "adtally.sweep_dirty", "id": "7"}});
    for found in ["t.dead", "t.unrouted", "t.tasks"] {
        let task = letter(found, "not_a_pack", headers.clone(), b"[[], {}, null]");
        let parcel = Parcel::of(task, &topology()).unwrap();
        assert_eq!(
            Some(parcel.route),
            topology().route_to("t.tasks"),
            "{found}"
        );
    }
    let foreign = letter("u.dead", "not_a_pack", headers, b"[[], {}, null]");
    let fault = DeadLetterFault::ForeignQueue("u.dead".to_owned());
    assert_eq!(Parcel::of(foreign, &topology()), Err(fault));
}

#[test]
fn a_body_that_is_no_text_is_shown_in_digits() {
    let shown = |body: &[u8]| {
        let whole = WholeDeadLetter::from(letter("s", "r", json!({}), body));
        (whole.body, whole.body_hex)
    };
    assert_eq!(
        shown("é\u{1b}".as_bytes()),
        (Some("é\u{1b}".to_owned()), None)
    );
    assert_eq!(shown(b"a\xff\x00"), (None, Some("61ff00".to_owned())));
}
