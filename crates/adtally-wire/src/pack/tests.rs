mod tables;

use std::borrow::Cow;
use std::net::IpAddr;

use adtally_domain::{AdId, Event, EventId, EventKind, Timestamp};
use proptest::option;
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use super::decode::read_rest;
use super::*;

fn any_event() -> impl Strategy<Value = Event> {
    // Some that begin alike, for a reader that remembers the last one.
    let like = prop::sample::select(vec![0, 1, 17, 170, 1_795_327_200_123]);
    let millis = prop_oneof![0..=Timestamp::MAX.as_millis(), like];
    let time = || {
        millis
            .clone()
            .prop_map(|ms| Timestamp::from_millis(ms).unwrap())
    };
    let text = || option::of("[^\0]{0,40}");
    let kind = prop_oneof![Just(EventKind::Impression), Just(EventKind::Click)];
    let ids = (time(), any::<[u8; 10]>(), kind, 1..=i64::MAX, time());
    let rest = (
        option::of(any::<u128>()),
        option::of(any::<IpAddr>()),
        text(),
        text(),
        text(),
        text(),
        text(),
    );
    (ids, rest).prop_map(|((time, random, kind, ad, received_at), rest)| {
        let (impression_id, ip, visitor_id, user_agent, referer, placement, source) = rest;
        Event {
            id: EventId::v7(time, random),
            kind,
            ad_id: AdId::new(ad).unwrap(),
            received_at,
            impression_id: impression_id.map(Uuid::from_u128),
            ip,
            visitor_id,
            user_agent,
            referer,
            placement,
            source,
        }
    })
}

fn events(count: std::ops::Range<usize>) -> impl Strategy<Value = (EventKind, Vec<Event>)> {
    let kind = prop_oneof![Just(EventKind::Impression), Just(EventKind::Click)];
    (kind, prop::collection::vec(any_event(), count)).prop_map(|(kind, mut events)| {
        for event in &mut events {
            event.kind = kind;
        }
        (kind, events)
    })
}

/// What JSON readers trip over.
fn any_snippet() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "",
            "\"",
            "\\",
            "\\u0000",
            "\\n",
            "\u{1}",
            "\0",
            "0",
            "-",
            ".0",
            "e1",
            " ",
            ",",
            "}",
            "]",
            "{}",
            "null",
            ",null",
            ",\"a\"",
            ",\"v\":1",
            ",\"kind\":\"click\"",
            ",\"fields\":[]",
            ",\"ip\"",
            "é",
            "\u{fffd}",
        ])
        .prop_map(str::to_owned),
        ".{0,2}",
    ]
}

fn good(index: u64) -> Value {
    json!({"event_id": Uuid::from_u128(u128::from(index) | 7 << 76), "kind": "click", "ad_id": 5,
           "received_at": "2026-11-22T06:00:00.123Z"})
}

fn pack(entries: &[Value]) -> Vec<u8> {
    json!({"v": 1, "events": entries}).to_string().into_bytes()
}

/// The entry of `event` in a pack of version 1.
fn named(event: &Event) -> Value {
    json!({"event_id": event.id.as_uuid(), "kind": event.kind, "ad_id": event.ad_id,
           "received_at": event.received_at.to_string(), "impression_id": event.impression_id,
           "ip": event.ip, "visitor_id": event.visitor_id, "user_agent": event.user_agent,
           "referer": event.referer, "placement": event.placement, "source": event.source})
}

/// A pack with names and values of its own.
fn table(fields: &Value, entries: &Value) -> Vec<u8> {
    let pack = json!({"v": 2, "kind": "click", "fields": fields, "events": entries});
    pack.to_string().into_bytes()
}

/// [`decode`] by the general reader alone.
fn decode_any(body: &[u8]) -> Result<Vec<Result<Event, BadEvent>>, PackError> {
    let mut entries = Vec::new();
    let read = read_rest(body, 0, |entry| {
        entries.push(entry.map(|event| event.clone().into_owned()));
    });
    read.map(|()| entries)
}

proptest! {
    #[test]
    fn what_is_packed_is_read_back_in_order((kind, events) in events(0..20)) {
        let decoded = decode(&encode(kind, &events)).unwrap();
        prop_assert_eq!(decoded, events.into_iter().map(Ok).collect::<Vec<_>>());
    }

    #[test]
    fn a_pack_of_the_first_version_holds_the_same(events in prop::collection::vec(any_event(), 0..20)) {
        let entries: Vec<_> = events.iter().map(named).collect();
        let decoded = decode(&pack(&entries)).unwrap();
        prop_assert_eq!(decoded, events.into_iter().map(Ok).collect::<Vec<_>>());
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes);
    }

    #[test]
    fn no_damage_to_a_pack_makes_the_reader_panic(
        (kind, events) in events(1..4),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut body = encode(kind, &events);
        for (place, byte) in damage {
            let place = place.index(body.len());
            body[place] = byte;
        }
        let _ = decode(&body);
    }

    #[test]
    fn what_is_written_here_is_read_the_fast_way((kind, events) in events(0..20)) {
        let body = String::from_utf8(encode(kind, &events)).unwrap();
        let mut read = 0;
        prop_assert_eq!(fast::read(&body, |_| read += 1), Some(()));
        prop_assert_eq!(read, events.len());
    }

    #[test]
    fn whichever_way_a_pack_is_read_it_says_the_same(
        (kind, events) in events(0..4),
        damage in prop::collection::vec((any::<prop::sample::Index>(), 0..3_usize, any_snippet()), 0..3),
    ) {
        let mut body = encode(kind, &events);
        for (place, removed, snippet) in damage {
            let place = place.index(body.len());
            let end = body.len().min(place + removed);
            body.splice(place..end, snippet.bytes());
        }
        prop_assert_eq!(decode(&body), decode_any(&body));
    }

    #[test]
    fn whichever_way_an_id_is_read_it_is_the_same(
        (kind, events) in events(1..2),
        upper in any::<bool>(),
        changed in prop::option::of((0..36_usize, prop::char::any())),
    ) {
        let written = events[0].id.to_string();
        let mut id = if upper { written.to_uppercase() } else { written.clone() };
        if let Some((place, character)) = changed {
            id.replace_range(place..=place, &character.to_string());
        }
        let body = String::from_utf8(encode(kind, &events)).unwrap();
        let body = body.replacen(&written, &id, 1).into_bytes();
        prop_assert_eq!(decode(&body), decode_any(&body));
    }

    #[test]
    fn a_damaged_entry_costs_only_itself(
        (kind, events) in events(1..8),
        victim: prop::sample::Index,
        replacement in prop_oneof![
            Just(json!(null)), Just(json!(7)), Just(json!({})), Just(json!({"ad_id": 5})),
            Just(json!([[], {}])), Just(json!({"event_id": "x", "kind": "view", "ad_id": -1})),
        ],
    ) {
        let mut entries: Value = serde_json::from_slice(&encode(kind, &events)).unwrap();
        let victim = victim.index(events.len());
        entries["events"][victim] = replacement.clone();
        let decoded = decode(entries.to_string().as_bytes()).unwrap();
        for (index, (entry, event)) in decoded.into_iter().zip(events).enumerate() {
            if index == victim {
                let bad = entry.unwrap_err();
                prop_assert_eq!(bad.index, victim);
                let named = json!({"kind": kind, "event_id": [], "ad_id": {}});
                let body = if replacement.is_array() { named } else { replacement.clone() };
                prop_assert_eq!(bad.body.parse::<Value>().unwrap(), body);
            } else {
                prop_assert_eq!(entry, Ok(event));
            }
        }
    }
}

#[test]
fn a_pack_reads_as_plain_json() {
    let event = decode(&pack(&[good(1)])).unwrap().pop().unwrap().unwrap();
    assert_eq!(
        String::from_utf8(encode(EventKind::Click, &[event.clone(), event.clone()])).unwrap(),
        r#"{"v":2,"kind":"click","fields":["event_id","ad_id","received_at","ip","user_agent","source","referer","placement","visitor_id","impression_id"],"events":[["00000000-0000-7000-0000-000000000001",5,1795327200123],["00000000-0000-7000-0000-000000000001",5,1795327200123]]}"#,
    );
    // Events of the other kind are of another pack.
    let none = encode(EventKind::Impression, &[event]);
    assert!(none.ends_with(br#""impression_id"],"events":[]}"#));
}

#[test]
fn a_field_this_build_does_not_know_is_ignored() {
    let mut entry = good(1);
    entry["campaign"] = json!({"nested": [1, 2]});
    let body = json!({"v": 1, "written_by": "next", "events": [entry]}).to_string();
    assert!(decode(body.as_bytes()).unwrap()[0].is_ok());
}

#[test]
fn a_newer_version_is_told_apart_whatever_else_it_holds() {
    for body in [
        r#"{"v":3,"events":[]}"#,
        r#"{"v":3}"#,
        r#"{"events":{"zstd":"..."},"v":18446744073709551615}"#,
        r#"{"v":4,"kind":7,"fields":{},"events":"x","rows":[[1,2],[3,4]]}"#,
    ] {
        assert!(
            matches!(decode(body.as_bytes()), Err(PackError::NewerVersion(3..))),
            "{body}"
        );
    }
}

#[test]
fn what_is_no_pack_is_refused_with_a_reason() {
    for body in [
        "",
        " ",
        "null",
        "[]",
        "{}",
        "7",
        "{\"v\":1",
        r#"{"v":1}"#,
        r#"{"v":1,"events":null}"#,
        r#"{"v":1,"events":{}}"#,
        r#"{"v":0,"events":[]}"#,
        r#"{"v":-1,"events":[]}"#,
        r#"{"v":"1","events":[]}"#,
        r#"{"v":1.5,"events":[]}"#,
        r#"{"v":1,"events":[]}x"#,
        r#"{"v":2,"events":[]}"#,
        r#"{"v":2,"fields":null,"events":[]}"#,
        r#"{"v":2,"fields":[7],"events":[]}"#,
        r#"{"v":2,"fields":["ad_id"]}"#,
        r#"{"v":2,"fields":["ad_id","ad_id"],"events":[]}"#,
        r#"{"v":2,"kind":"click","fields":["kind"],"events":[]}"#,
        r#"[9,0,0,0]"#,
        r#"[1,null,null,[]]"#,
        r#"[[],{},{"callbacks":null}]"#,
        "\u{feff}{}",
    ] {
        assert!(
            matches!(decode(body.as_bytes()), Err(PackError::NotAPack(_))),
            "{body}"
        );
    }
    let deep = format!(
        r#"{{"v":1,"events":{}{}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    assert!(matches!(
        decode(deep.as_bytes()),
        Ok(_) | Err(PackError::NotAPack(_))
    ));
}

#[test]
fn a_bad_event_keeps_what_could_be_read_of_it() {
    let mut entry = good(1);
    entry["event_id"] = json!("019ab2f1-0b7b-7000-8000-000000000001");
    entry["visitor_id"] = json!("nul \0 inside");
    let decoded = decode(&pack(&[good(1), entry])).unwrap();
    assert!(decoded[0].is_ok());
    let bad = decoded[1].clone().unwrap_err();
    assert_eq!(
        bad.event_id.unwrap().to_string(),
        "019ab2f1-0b7b-7000-8000-000000000001"
    );
    assert_eq!(bad.ad_id, Some(5));
    assert_eq!(
        bad.occurred_at,
        Timestamp::from_millis(0x019a_b2f1_0b7b).ok()
    );
    assert_eq!(bad.reason, "a text holds NUL");
}

#[test]
fn bytes_that_are_not_utf8_cost_only_their_event() {
    let mut first = good(1);
    first["user_agent"] = json!("@@");
    let mut body = pack(&[first, good(2)]);
    let place = body.windows(2).position(|two| two == b"@@").unwrap();
    body[place] = 0xff;
    let decoded = decode(&body).unwrap();
    assert_eq!(
        decoded[0].clone().unwrap_err().reason,
        "it holds bytes that are not UTF-8"
    );
    assert!(decoded[1].is_ok());
}

#[test]
fn times_out_of_range_cost_only_their_event() {
    let mut late = good(1);
    late["received_at"] = json!("1969-12-31T23:59:59Z");
    let mut far = good(2);
    far["event_id"] = json!("ffffffff-ffff-7fff-bfff-ffffffffffff");
    let decoded = decode(&pack(&[late, far, good(3)])).unwrap();
    assert!(
        decoded[0]
            .clone()
            .unwrap_err()
            .reason
            .starts_with("received_at")
    );
    assert!(decoded[1].clone().unwrap_err().reason.contains("9999"));
    assert!(decoded[2].is_ok());
}

#[test]
fn a_text_is_copied_only_where_something_in_it_is_escaped() {
    let entry = r#"{"event_id":"01a201d7-0b7b-7000-8000-000000000001","kind":"click","ad_id":1,
        "received_at":"2026-11-22T06:00:00Z","user_agent":"plain \u00fc","referer":"http://a/","source":null}"#;
    let body = of_entry(entry.as_bytes());
    let mut events = 0;
    read(&body, |event| {
        let event = event.unwrap();
        assert!(matches!(event.referer, Some(Cow::Borrowed("http://a/"))));
        assert!(matches!(&event.user_agent, Some(Cow::Owned(text)) if text == "plain ü"));
        assert_eq!((&event.placement, &event.source), (&None, &None));
        events += 1;
    })
    .unwrap();
    assert_eq!(events, 1);
}
