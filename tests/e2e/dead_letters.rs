//! What could not be processed, in the hands of operators: nothing is lost, nothing counts twice.

use std::collections::BTreeSet;

use adtally_broker::{BrokerConfig, Publisher, PublisherOptions};
use adtally_devstack::testing::TestStack;
use adtally_domain::{AggregateHour, SweepDirty, Task, TaskMessage};
use adtally_tests::{Process, System, until};
use adtally_wire::Envelope;
use serde_json::{Value, json};
use uuid::Uuid;

/// A system and the ids that were answered 202.
struct Books {
    system: System,
    _worker: Process,
    accepted: BTreeSet<String>,
}

impl Books {
    /// A system that stores events of today.
    fn open(name: &str) -> Self {
        let (system, worker) = System::with_worker(name);
        let mut books = Self {
            system,
            _worker: worker,
            accepted: BTreeSet::new(),
        };
        books.drain();
        books
    }

    fn accept(&mut self, events: &Value) {
        self.accepted.extend(self.system.accept(events));
    }

    /// Waits until the worker is done with everything that is in its queues of events now.
    fn drain(&mut self) {
        let events = json!([{"ad_id": 1, "kind": "impression"}, {"ad_id": 1, "kind": "click"}]);
        let last = self.system.accept(&events);
        let stored = format!(
            "SELECT count(*) FROM events WHERE event_id IN ('{}')",
            last.join("', '")
        );
        until("the last events are stored", || {
            (self.system.count(&stored) == 2).then_some(())
        });
        self.accepted.extend(last);
    }

    /// Every event that was accepted is stored or a dead letter that nobody requeued, and none is
    /// both: by id.
    fn reckon(&self) {
        let dead = "SELECT event_id FROM dead_letters \
                    WHERE state <> 'requeued' AND event_id IS NOT NULL";
        let dead = self.system.sql(dead);
        let dead: BTreeSet<String> = dead.lines().map(str::to_owned).collect();
        let stored = self.system.event_ids();
        let both: Vec<_> = dead.intersection(&stored).collect();
        assert!(both.is_empty(), "stored and dead: {both:?}");
        let found = &dead | &stored;
        let differing: Vec<_> = found.symmetric_difference(&self.accepted).collect();
        assert!(differing.is_empty(), "lost or invented: {differing:?}");
    }

    /// The ids of the letters that `condition` means.
    fn letters(&self, condition: &str) -> BTreeSet<String> {
        let ids = format!("SELECT id FROM dead_letters WHERE {condition}");
        self.system.sql(&ids).lines().map(str::to_owned).collect()
    }

    /// Waits until `count` letters meet `condition`; their ids.
    fn wait_for_letters(&self, count: usize, condition: &str) -> BTreeSet<String> {
        until(&format!("{count} letters are {condition}"), || {
            let letters = self.letters(condition);
            (letters.len() == count).then_some(letters)
        })
    }

    /// Runs a command that must succeed; what it says.
    fn command(&self, words: &str) -> String {
        let words: Vec<&str> = words.split_whitespace().collect();
        let (code, out, err) = self
            .system
            .adtally(&[&["dead-letters"], &words[..]].concat());
        assert_eq!(code, 0, "{words:?}: {out}{err}");
        out
    }

    /// Puts any message on one of our queues.
    fn publish(&self, queue: &str, envelope: &Envelope, body: &[u8]) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let sent = runtime.unwrap().block_on(async {
            let url = TestStack::shared().amqp_url();
            let config = BrokerConfig::new(&[url], self.system.prefix(), "test").unwrap();
            let publisher = Publisher::start(config, PublisherOptions::default());
            let queue = format!("{}.{queue}", self.system.prefix());
            let route = publisher.topology().route_to(&queue).unwrap();
            let sent = publisher
                .publish_kept(&route, envelope, body.to_vec())
                .await;
            publisher.close().await;
            sent
        });
        sent.unwrap();
    }
}

/// `count` impressions and as many clicks of `ad`.
fn events(ad: i64, count: usize) -> Value {
    let kinds = ["impression", "click"].into_iter();
    let events = kinds.flat_map(|kind| (0..count).map(move |_| json!({"ad_id": ad, "kind": kind})));
    events.collect()
}

/// Makes the table refuse an ad's events.
fn refuse(system: &System, ad: i64) {
    system.sql(&format!(
        "ALTER TABLE events ADD CONSTRAINT not_{ad} CHECK (ad_id <> {ad})"
    ));
}

fn allow(system: &System, ad: i64) {
    system.sql(&format!("ALTER TABLE events DROP CONSTRAINT not_{ad}"));
}

#[test]
fn events_that_are_requeued_by_several_at_once_count_once_and_those_that_fail_again_are_new_again()
{
    let mut books = Books::open("requeued");
    for ad in [13, 14] {
        refuse(&books.system, ad);
        books.accept(&events(ad, 20));
    }
    books.accept(&events(15, 20));
    let letters = books.wait_for_letters(80, "state = 'new'");
    books.drain();
    books.reckon();

    allow(&books.system, 13);
    let everything = json!({"reason": "invalid_event", "from": "2026-01-01T00:00:00Z"});
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| books.command("requeue --all --reason invalid_event"));
        }
        scope.spawn(|| {
            let answer = books
                .system
                .post_as(&everything, "/v1/dead-letters/requeue", &[]);
            assert_eq!(
                (answer.status, answer.json()["failed"].clone()),
                (200, json!([]))
            );
        });
    });
    books.drain();
    assert_eq!(books.letters("ad_id = 13 AND state = 'requeued'").len(), 40);
    let again = "ad_id = 14 AND state = 'new' AND requeued_at IS NOT NULL";
    assert_eq!(books.letters(again).len(), 40);
    assert_eq!(books.letters("true"), letters, "no letter has a second one");
    assert_eq!(
        books
            .system
            .count("SELECT count(*) FROM events WHERE ad_id = 13"),
        40
    );
    books.reckon();

    books.command("requeue --all --ad 13 --state requeued --again");
    assert!(
        books
            .command("discard --all --ad 14")
            .starts_with("discarded 40 ")
    );
    books.drain();
    assert_eq!(books.letters("ad_id = 13 AND state = 'requeued'").len(), 40);
    assert_eq!(
        books.letters("ad_id = 14 AND state = 'discarded'").len(),
        40
    );
    books.reckon();

    allow(&books.system, 14);
    books.command("requeue --all --ad 14 --state discarded");
    books.drain();
    assert_eq!(books.system.event_ids(), books.accepted);
    assert_eq!(books.letters("state = 'requeued'"), letters);
    books.system.settle();
    assert_eq!(books.system.audit()["ok"], true);
}

#[test]
fn messages_that_nobody_can_read_go_back_as_they_were_and_keep_their_letter() {
    let books = Books::open("unreadable-letters");
    let named = Envelope {
        message_id: Some("m-1".to_owned()),
        content_type: Some("text/plain".to_owned()),
        headers: serde_json::from_value(json!({"x-own": [1, "two"]})).unwrap(),
        ..Envelope::default()
    };
    let other = Envelope {
        message_id: Some("m-2".to_owned()),
        ..named.clone()
    };
    let hostile: &[u8] = b"\xff\x1b]0;owned\x07";
    books.publish("clicks", &named, hostile);
    books.publish("impressions", &Envelope::default(), b"hello \x1b[2J");
    books.publish("dead", &Envelope::default(), b"");
    let entries = json!([7, {"kind": "view"}, {"kind": "click", "ad_id": 9, "event_id": "x"}]);
    let pack = json!({"v": 1, "events": entries}).to_string();
    books.publish("unrouted", &other, pack.as_bytes());
    let letters = books.wait_for_letters(6, "state = 'new'");
    let whole = "SELECT id, source, reason, encode(body, 'hex'), headers \
                 FROM dead_letters WHERE reason = 'not_a_pack' ORDER BY id";
    let before = books.system.sql(whole);
    for id in &letters {
        let shown =
            books.command(&format!("show {id}")) + &books.command(&format!("show {id} --json"));
        let obeyed = shown.chars().find(|c| c.is_control() && *c != '\n');
        assert_eq!(obeyed, None, "{shown:?}");
    }

    assert!(
        books
            .command("requeue --all --yes")
            .starts_with("requeued 6 ")
    );
    let again = books.wait_for_letters(6, "state = 'new' AND requeued_at IS NOT NULL");
    assert_eq!(again, letters);
    assert_eq!(books.letters("true"), letters);
    assert_eq!(books.system.sql(whole), before, "byte for byte");
    let id = letters.first().unwrap();
    books.system.sql(&format!(
        "UPDATE dead_letters SET source = 'other.clicks', reason = 'not_a_pack' WHERE id = '{id}'"
    ));
    let (code, out, err) = books.system.adtally(&["dead-letters", "requeue", id]);
    assert!(code == 1 && out.contains("other.clicks"), "{out}{err}");
}

/// Waits until the task `id` is in `state` after so many attempts.
fn wait_for_task(system: &System, id: Uuid, state: &str, attempts: u32) {
    let row = format!("SELECT state, attempts FROM task_runs WHERE task_id = '{id}'");
    until(&format!("the task is {state} after {attempts}"), || {
        (system.sql(&row).trim() == format!("{state}|{attempts}")).then_some(())
    });
}

#[test]
fn a_task_that_was_given_up_runs_once_more_and_keeps_its_letter_when_it_fails_again() {
    let books = Books::open("tasks-again");
    let hopeless = AggregateHour {
        hour: "2026-11-22T05:17:00Z".parse().unwrap(),
    }
    .message(Uuid::new_v4());
    let unknown = TaskMessage {
        name: "nobody.knows".to_owned(),
        ..SweepDirty {}.message(Uuid::new_v4())
    };
    let unlucky = SweepDirty {}.message(Uuid::new_v4());
    books.system.sql("ALTER TABLE dirty_hours RENAME TO away");
    for task in [&hopeless, &unknown, &unlucky] {
        books.system.publish(task);
    }
    let letters = books.wait_for_letters(3, "state = 'new'");
    wait_for_task(&books.system, unlucky.id, "discarded", 3);
    wait_for_task(&books.system, hopeless.id, "discarded", 1);

    books.system.sql("ALTER TABLE away RENAME TO dirty_hours");
    assert!(
        books
            .command("requeue --all --yes")
            .starts_with("requeued 3 ")
    );
    wait_for_task(&books.system, unlucky.id, "succeeded", 4);
    wait_for_task(&books.system, hopeless.id, "discarded", 2);
    let failed = "state = 'new' AND requeued_at IS NOT NULL";
    assert_eq!(books.wait_for_letters(2, failed).len(), 2);
    assert_eq!(books.letters("true"), letters);

    let id = books
        .letters("reason = 'max_attempts'")
        .pop_first()
        .unwrap();
    let uri = format!("/v1/dead-letters/{id}/requeue");
    let requeue = |query: &str| {
        let answer = books
            .system
            .post_as(&json!({}), &format!("{uri}{query}"), &[]);
        assert_eq!(answer.status, 200);
        answer.json()["already"].as_bool().unwrap()
    };
    assert!(requeue(""), "it succeeded, so nothing is sent");
    assert!(!requeue("?again=1"));
    wait_for_task(&books.system, unlucky.id, "succeeded", 5);
    assert!(
        books
            .command("discard --all --yes")
            .starts_with("discarded 2 ")
    );
    assert_eq!(books.letters("state = 'requeued'"), BTreeSet::from([id]));
}
