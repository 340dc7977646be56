//! Messages on the queues of events that no API of ours wrote.

use adtally_tests::until;
use serde_json::{Value, json};

use super::amqp::{Amqp, Field, Properties};
use super::subject::{Subject, from_now};

/// An entry of a pack, happened just now, with the fields of `more` set.
fn entry(subject: &Subject, more: &Value) -> Value {
    let id = subject.new_event_id();
    let mut entry =
        json!({"event_id": id, "kind": "click", "ad_id": 4, "received_at": from_now(0)});
    for (name, value) in more.as_object().into_iter().flatten() {
        entry[name] = value.clone();
    }
    entry
}

fn pack(entries: &[Value]) -> Vec<u8> {
    json!({"v": 1, "events": entries}).to_string().into_bytes()
}

/// An entry of a [`table`], happened just now.
fn row(subject: &Subject) -> Value {
    json!([subject.new_event_id(), 4, 1_795_327_200_123_i64])
}

/// A pack that names the values of its entries once.
fn table(rows: &[Value]) -> Vec<u8> {
    let rows: Vec<_> = rows.iter().map(Value::to_string).collect();
    let head = r#"{"v":2,"kind":"click","fields":["event_id","ad_id","received_at","ip","user_agent","source","referer","placement","visitor_id","impression_id"]"#;
    format!(r#"{head},"events":[{}]}}"#, rows.join(",")).into_bytes()
}

#[test]
fn a_message_that_is_no_pack_becomes_a_dead_letter_and_its_neighbours_are_stored() {
    let mut subject = Subject::new("no-packs");
    let mut amqp = Amqp::connect();
    let deep = format!(
        "{{\"v\":1,\"events\":{}{}}}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let garbage: Vec<u8> = (0..8_000_000_u32).map(|n| (n % 251) as u8).collect();
    // Cut off after an event that is whole.
    let cut = format!(
        r#"{{"v":1,"events":[{{"event_id":"{}","kind":"click","ad_id":4,"received_at":"{}"}}"#,
        subject.new_event_id(),
        from_now(0)
    );
    let cut_table = String::from_utf8(table(&[row(&subject)])).unwrap();
    let cut_table = cut_table.strip_suffix("]}").unwrap();
    let bodies: [&[u8]; 19] = [
        b"",
        b" ",
        b"hello",
        b"\xff\xfe\x00",
        b"null",
        b"[]",
        b"{}",
        br#"{"v": 1}"#,
        br#"{"v": 1, "events": null}"#,
        br#"{"v": 1, "events": {"event_id": 1}}"#,
        br#"{"v": 0, "events": []}"#,
        br#"{"v": -1, "events": []}"#,
        br#"{"v": "1", "events": []}"#,
        deep.as_bytes(),
        cut.as_bytes(),
        br#"{"v": 2, "events": []}"#,
        br#"{"v": 2, "fields": {}, "events": []}"#,
        cut_table.as_bytes(),
        &garbage,
    ];
    let mut letters = Vec::new();
    for queue in ["impressions", "clicks", "dead", "unrouted"] {
        let name = format!("{}.{queue}", subject.system.prefix());
        subject.takes(
            "a neighbour",
            br#"[{"ad_id": 1, "kind": "click"}, {"ad_id": 1, "kind": "impression"}]"#,
        );
        for (n, body) in bodies.iter().enumerate() {
            // Without a name of its own, a body that comes again is the same letter.
            let named = Properties {
                message_id: Some(format!("{queue} {n}").leak()),
                ..Properties::default()
            };
            amqp.publish("", &name, &named, body);
            let is_pack = body == &deep.as_bytes();
            let reason = if is_pack {
                "invalid_event"
            } else {
                "not_a_pack"
            };
            letters.push((queue, reason));
        }
    }
    let clicks = format!("{}.clicks", subject.system.prefix());
    for _ in 0..3 {
        amqp.publish("", &clicks, &Properties::default(), b"");
    }
    letters.push(("clicks", "not_a_pack"));
    subject.reckon(&letters);
}

#[test]
fn a_bad_entry_of_a_pack_costs_only_itself() {
    let mut subject = Subject::new("entries");
    let mut amqp = Amqp::connect();
    let queue = format!("{}.clicks", subject.system.prefix());
    let deep = format!("[{}{}]", "[".repeat(1_000), "]".repeat(1_000));
    let bad = [
        json!({"ad_id": 0}),
        json!({"ad_id": -7}),
        json!({"ad_id": 9_223_372_036_854_775_808_u64}),
        json!({"ad_id": "4"}),
        json!({"ad_id": null}),
        json!({"kind": "view"}),
        json!({"kind": 1}),
        json!({"event_id": "auction-1"}),
        json!({"event_id": null}),
        json!({"event_id": "ffffffff-ffff-7fff-bfff-ffffffffffff"}),
        json!({"received_at": "yesterday"}),
        json!({"received_at": "1969-12-31T23:59:59Z"}),
        json!({"impression_id": "x"}),
        json!({"ip": "999.1.1.1"}),
        json!({"placement": "a\u{0}b"}),
        json!({"user_agent": 7}),
    ];
    let mut entries: Vec<Value> = bad.iter().map(|more| entry(&subject, more)).collect();
    entries.extend([json!(null), json!(7), json!("x"), json!([]), json!({})]);
    let mut letters = vec![("clicks", "invalid_event"); entries.len() + 1];
    for place in [0, 9, entries.len()] {
        let good = entry(&subject, &json!({}));
        subject.expect_stored(good["event_id"].as_str().unwrap());
        entries.insert(place, good);
    }
    let entries: Vec<_> = entries.iter().map(Value::to_string).chain([deep]).collect();
    let body = format!(r#"{{"v":1,"events":[{}]}}"#, entries.join(","));
    let named = Properties {
        message_id: Some("bad-entries"),
        ..Properties::json()
    };
    amqp.publish("", &queue, &named, body.as_bytes());
    amqp.publish("", &queue, &named, body.as_bytes());

    let broken = entry(&subject, &json!({"placement": "PLACE"})).to_string();
    let whole = entry(&subject, &json!({}));
    subject.expect_stored(whole["event_id"].as_str().unwrap());
    let body = format!(r#"{{"v":1,"events":[{broken},{whole}]}}"#);
    let (head, tail) = body.split_once("PLACE").unwrap();
    amqp.publish(
        "",
        &queue,
        &Properties::json(),
        &[head.as_bytes(), b"\xc0\xaf", tail.as_bytes()].concat(),
    );
    letters.push(("clicks", "invalid_event"));

    let mut rows = vec![json!(null), json!({}), json!([]), json!(["x", 4, 0])];
    rows.extend([-1, 1].map(|ad| json!([subject.new_event_id(), ad, "yesterday"])));
    let mut long = row(&subject);
    long.as_array_mut().unwrap().extend(vec![json!(null); 8]);
    rows.push(long);
    letters.extend(vec![("clicks", "invalid_event"); rows.len()]);
    for place in [0, 4, rows.len() + 2] {
        let good = row(&subject);
        subject.expect_stored(good[0].as_str().unwrap());
        rows.insert(place, good);
    }
    amqp.publish("", &queue, &Properties::json(), &table(&rows));
    subject.reckon(&letters);
}

#[test]
fn an_event_is_stored_whatever_its_message_says_about_itself() {
    let mut subject = Subject::new("properties");
    let mut amqp = Amqp::connect();
    let strange = [
        Properties::default(),
        Properties {
            content_type: Some("text/plain"),
            ..Properties::default()
        },
        Properties {
            content_encoding: Some("gzip"),
            ..Properties::json()
        },
        Properties {
            message_id: Some(""),
            ..Properties::json()
        },
        Properties::json().header("x-delivery-count", Field::Text("many")),
        Properties::json().header("x-delivery-count", Field::Number(-1)),
        Properties::json().header("x-first-death-reason", Field::Null),
        Properties::json().header(
            "x-death",
            Field::List(vec![Field::Number(1), Field::Abyss(3)]),
        ),
        Properties::json().header("deep", Field::Abyss(100)),
    ];
    for queue in ["impressions", "clicks", "dead", "unrouted", "events"] {
        let prefix = subject.system.prefix();
        let (exchange, key) = match queue {
            "events" => (format!("{prefix}.events"), "nobody.knows".to_owned()),
            queue => (String::new(), format!("{prefix}.{queue}")),
        };
        for properties in &strange {
            let event = entry(&subject, &json!({"some_day": {"a": [1, 2]}}));
            amqp.publish(
                &exchange,
                &key,
                properties,
                &pack(std::slice::from_ref(&event)),
            );
            subject.expect_stored(event["event_id"].as_str().unwrap());
        }
    }
    let stored = subject.taken_so_far();
    until("they are stored", || {
        (subject.system.count("SELECT count(*) FROM events") >= stored).then_some(())
    });
    subject.stored_only_what_was_taken();
}

#[test]
fn properties_that_nobody_can_read_end_no_worker() {
    let mut subject = Subject::new("unreadable");
    let mut amqp = Amqp::connect();
    let unreadable = [
        Properties::json().header("x", Field::Abyss(1_000)),
        Properties::json().header("x", Field::Abyss(15_000)),
        Properties {
            kind: Some(b"\xff\xfe"),
            ..Properties::json()
        },
    ];
    let mut letters = Vec::new();
    for (n, properties) in unreadable.iter().enumerate() {
        for queue in ["clicks", "impressions", "tasks", "dead"] {
            let name = format!("{}.{queue}", subject.system.prefix());
            let body = format!("unreadable {n} on {queue}");
            amqp.publish("", &name, properties, body.as_bytes());
            let is_task = queue == "tasks";
            letters.push((
                queue,
                if is_task {
                    "malformed_task"
                } else {
                    "not_a_pack"
                },
            ));
        }
        let event = entry(&subject, &json!({}));
        let clicks = format!("{}.clicks", subject.system.prefix());
        amqp.publish("", &clicks, properties, &pack(std::slice::from_ref(&event)));
        subject.expect_stored(event["event_id"].as_str().unwrap());
    }
    subject.reckon(&letters);
}

#[test]
fn a_pack_of_a_newer_version_stays_queued_however_often_it_comes_back() {
    let subject = Subject::new("newer");
    let queue = format!("{}.clicks", subject.system.prefix());
    let mut amqp = Amqp::connect();
    let newer = json!({"v": 3, "rows": [[1, 2, 3]]}).to_string();
    amqp.publish("", &queue, &Properties::json(), newer.as_bytes());
    let Subject { system, worker, .. } = subject;
    until("the worker says that it is too old", || {
        let readiness = worker.readiness()?;
        let says = String::from_utf8_lossy(&readiness.body).contains("version 3");
        (readiness.status == 503 && says).then_some(())
    });
    assert!(worker.log().contains("version 3"), "{}", worker.log());
    system.accept(&json!([{"ad_id": 1, "kind": "click"}, {"ad_id": 1, "kind": "impression"}]));
    system.wait_for_events(2);
    assert!(worker.stop().success());
    for _ in 0..12 {
        let worker = system.start_with("adtally-worker", "ADTALLY_HEALTH_BIND", &[]);
        until("the next worker says so too", || {
            worker.log().contains("version 3").then_some(())
        });
        assert!(worker.stop().success());
        until("the pack is queued again", || {
            (amqp.depth(&queue) == 1).then_some(())
        });
    }
    assert_eq!(system.count("SELECT count(*) FROM dead_letters"), 0);
}
