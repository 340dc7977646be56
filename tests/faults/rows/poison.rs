//! Messages that cannot be processed, and one that ends whoever touches it.

use std::thread;
use std::time::Duration;

use adtally_tests::traffic::{Told, past_id};
use adtally_tests::until;
use lapin::BasicProperties;
use serde_json::{Value, json};

use super::Row;
use crate::ground::Ground;
use crate::stage::Setting;
use crate::wire::Wire;

pub(super) const ROWS: [Row; 4] = [
    Row::of_processes("row_37_poison_alone_and_among_a_thousand", poison),
    Row::of_processes("row_38_event_that_ends_every_worker", deadly),
    Row::of_processes("row_39_dead_letters_requeued_twice", requeued),
    Row::of_processes("row_48_newer_and_older_packs", newer_packs),
];

/// An entry of a pack as an API would write it.
fn entry(id: &str, ad: i64) -> Value {
    json!({"event_id": id, "kind": "click", "ad_id": ad, "received_at": "2026-11-22T06:00:00Z"})
}

fn pack(entries: &[Value]) -> Vec<u8> {
    json!({"v": 1, "events": entries}).to_string().into_bytes()
}

fn named(name: &str) -> BasicProperties {
    BasicProperties::default()
        .with_message_id(name.into())
        .with_delivery_mode(2)
}

/// Ids of a thousand good events and a pack that holds them, with something bad in their midst.
fn thousand_with(bad: &Value) -> (Vec<String>, Vec<u8>) {
    let ids: Vec<_> = (0..1_000).map(|n| past_id(n).to_string()).collect();
    let mut entries: Vec<_> = ids.iter().map(|id| entry(id, 5)).collect();
    entries.insert(500, bad.clone());
    (ids, pack(&entries))
}

fn poison(ground: &Ground) {
    let stage = Setting::new(ground, "row-37").start();
    let traffic = stage.traffic();
    let wire = Wire::to(ground);
    let queue = format!("{}.clicks", stage.system.prefix());
    let bad = [
        json!({"event_id": "no id", "kind": "click", "ad_id": 1}),
        json!({"event_id": past_id(1), "kind": "click", "ad_id": 1,
               "received_at": "2026-11-22T06:00:00Z", "placement": "a\u{0}b"}),
        json!({"event_id": past_id(2), "kind": "click", "ad_id": 0}),
        json!(null),
    ];
    let mut good = Vec::new();
    for (number, bad) in bad.iter().enumerate() {
        let (ids, body) = thousand_with(bad);
        wire.publish(&queue, &body, named(&format!("mixed-{number}")));
        good.extend(ids);
        wire.publish(
            &queue,
            &pack(std::slice::from_ref(bad)),
            named(&format!("alone-{number}")),
        );
    }
    wire.publish(&queue, b"garbage", named("garbage"));
    let mut told = traffic.end();
    told.accepted.extend(good);
    // The ids of what is bad are nobody's.
    let letters = || {
        let counts = "SELECT reason, count(*) FROM dead_letters GROUP BY 1 ORDER BY 1";
        stage.system.sql(counts)
    };
    until("the poison is kept", || {
        (letters().trim() == "invalid_event|8\nnot_a_pack|1").then_some(())
    });
    for id in bad.iter().filter_map(|bad| bad["event_id"].as_str()) {
        told.unclear.insert(id.to_owned());
    }
    stage.reckon(&told);
}

/// Has PostgreSQL hold whoever stores an event of ad 666, for the executioner to find.
const TRAP: &str = "CREATE FUNCTION trap() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
     PERFORM pg_sleep(3600); RETURN NEW; END $$; \
     CREATE TRIGGER trap BEFORE INSERT ON events FOR EACH ROW WHEN (NEW.ad_id = 666) \
     EXECUTE FUNCTION trap()";

fn deadly(ground: &Ground) {
    let stage = Setting::new(ground, "row-38")
        .two_batches_at_a_time()
        .start();
    stage.system.sql(TRAP);
    let wire = Wire::to(ground);
    let queue = format!("{}.clicks", stage.system.prefix());
    let ids: Vec<_> = (0..8).map(|n| past_id(n).to_string()).collect();
    let deadly = ids[5].clone();
    let entries: Vec<_> = ids
        .iter()
        .map(|id| entry(id, if *id == deadly { 666 } else { 5 }))
        .collect();
    wire.publish(&queue, &pack(&entries), named("deadly"));
    let caught = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                  WHERE datname = current_database() AND wait_event = 'PgSleep'";
    let letters = "SELECT count(*) FROM dead_letters";
    let mut deaths = 0;
    while stage.system.count(letters) == 0 {
        let waits = "SELECT count(*) FROM pg_stat_activity \
                     WHERE datname = current_database() AND wait_event = 'PgSleep'";
        if stage.system.count(waits) > 0 {
            // It dies in the middle, and its transaction with it.
            stage.worker().kill();
            stage.system.sql(caught);
            deaths += 1;
        }
        thread::sleep(Duration::from_millis(50));
        assert!(deaths < 200, "the event is never set aside");
    }
    println!("row-38: {deaths} workers ended before the event was set aside");
    let told = Told {
        accepted: ids.into_iter().collect(),
        ..Told::default()
    };
    let reckoning = stage.reckon(&told);
    assert_eq!((reckoning.stored, reckoning.dead), (7, 1));
    let letter = stage.system.sql("SELECT event_id, state FROM dead_letters");
    assert_eq!(letter.trim(), format!("{deadly}|new"));
}

fn requeued(ground: &Ground) {
    let stage = Setting::new(ground, "row-39").start();
    let traffic = stage.traffic();
    let mut told = traffic.end();
    // Events that a constraint of somebody's refused, until it was removed.
    stage
        .system
        .sql("ALTER TABLE events ADD CONSTRAINT no_nines CHECK (ad_id <> 999) NOT VALID");
    let refused: Vec<_> = (0..50)
        .map(|n| json!({"event_id": past_id(n), "kind": "click", "ad_id": 999}))
        .collect();
    told.accepted.extend(stage.system.accept(&json!(refused)));
    until("they are dead letters", || {
        let letters = "SELECT count(*) FROM dead_letters WHERE state = 'new'";
        (stage.system.count(letters) == 50).then_some(())
    });
    // Requeued too early: they come back under the same ids.
    let requeue = || {
        stage
            .system
            .adtally(&["dead-letters", "requeue", "--ad", "999", "--all"])
    };
    let (code, out, err) = requeue();
    assert_eq!(code, 0, "{out}{err}");
    until("they are dead letters again", || {
        let letters = "SELECT count(*) FROM dead_letters WHERE state = 'new'";
        (stage.system.count(letters) == 50).then_some(())
    });
    stage
        .system
        .sql("ALTER TABLE events DROP CONSTRAINT no_nines");
    thread::scope(|scope| {
        let both = [scope.spawn(requeue), scope.spawn(requeue)];
        for one in both {
            let (code, out, err) = one.join().expect("the tool");
            assert_eq!(code, 0, "{out}{err}");
        }
    });
    let (code, out, err) = requeue();
    assert_eq!(code, 0, "{out}{err}");
    let reckoning = stage.reckon(&told);
    assert_eq!(reckoning.dead, 0);
    assert_eq!(
        stage
            .system
            .count("SELECT count(*) FROM events WHERE ad_id = 999"),
        50
    );
}

fn newer_packs(ground: &Ground) {
    let mut stage = Setting::new(ground, "row-48").start();
    let wire = Wire::to(ground);
    let queue = format!("{}.clicks", stage.system.prefix());
    let traffic = stage.traffic();
    let newer = json!({"v": 3, "events": "of another shape"}).to_string();
    wire.publish(&queue, newer.as_bytes(), named("newer"));
    until("the worker says that it is too old", || {
        let readiness = stage.worker().process().readiness()?;
        (readiness.status == 503).then_some(())
    });
    // Everything else goes on.
    let mut known = Vec::new();
    for number in 0..20 {
        let id = past_id(number).to_string();
        let mut with_more = entry(&id, 5);
        with_more["of_a_later_version"] = json!({"any": "thing"});
        wire.publish(
            &queue,
            &pack(&[with_more]),
            named(&format!("more-{number}")),
        );
        known.push(id);
    }
    traffic.until_accepted(200);
    let mut told = traffic.end();
    told.accepted.extend(known);
    let ids = || stage.system.event_ids();
    until("all that can be read is stored", || {
        told.accepted.is_subset(&ids()).then_some(())
    });
    assert_eq!(stage.system.count("SELECT count(*) FROM dead_letters"), 0);
    // The newer pack is still there for a worker that can read it.
    assert!(stage.workers.remove(0).stop().success());
    until("the newer pack is queued", || {
        (wire.depth(&queue) == 1).then_some(())
    });
    wire.purge(&queue);
    stage.hire();
    stage.reckon(&told);
}
