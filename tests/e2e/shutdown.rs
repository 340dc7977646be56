//! Processes that are asked to stop, or killed, while there is work: nothing is lost or counted twice.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use adtally_devstack::Signal;
use adtally_devstack::testing::TestStack;
use adtally_tests::proxy::{Fault, Proxy, Way};
use adtally_tests::{System, http, until};
use serde_json::{Value, json};
use uuid::Uuid;

/// The ids of the events one client sent, by what it was told.
#[derive(Default)]
struct Told {
    accepted: BTreeSet<String>,
    /// Server errors and broken connections: the events may be kept or not.
    unclear: BTreeSet<String>,
}

/// Posts five events at a time until nobody listens any more.
fn post_until_refused(api: SocketAddr, accepted: &AtomicUsize) -> Told {
    let mut told = Told::default();
    loop {
        let ids: Vec<_> = (0..5).map(|_| Uuid::now_v7().to_string()).collect();
        let events: Value = ids
            .iter()
            .map(|id| json!({"ad_id": 7, "kind": "impression", "event_id": id}))
            .collect();
        let headers = [("Content-Type", "application/json")];
        let body = events.to_string();
        match http::request(api, "POST", "/v1/events", &headers, body.as_bytes()) {
            Ok(answer) if answer.status == 202 => {
                assert_eq!(answer.json(), json!({"accepted": 5, "rejected": []}));
                told.accepted.extend(ids);
                accepted.fetch_add(1, Ordering::Relaxed);
            }
            Ok(answer) => {
                assert_eq!(answer.status, 503, "{answer:?}");
                told.unclear.extend(ids);
            }
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => return told,
            Err(_) => told.unclear.extend(ids),
        }
    }
}

#[test]
fn an_api_that_stops_under_load_keeps_what_it_accepted_and_nothing_it_did_not() {
    let (mut system, worker) = System::with_worker("api-stops");
    let api = system.take_api();
    let (address, accepted) = (api.address, AtomicUsize::new(0));
    let (status, told) = thread::scope(|scope| {
        let client = || post_until_refused(address, &accepted);
        let clients: Vec<_> = (0..8).map(|_| scope.spawn(client)).collect();
        until("the load is on", || {
            (accepted.load(Ordering::Relaxed) >= 100).then_some(())
        });
        let status = api.stop();
        let told: Vec<_> = clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .collect();
        (status, told)
    });
    assert_eq!(status.code(), Some(0));

    let all = |ids: fn(&Told) -> &BTreeSet<String>| -> BTreeSet<String> {
        told.iter()
            .flat_map(|told| ids(told).iter().cloned())
            .collect()
    };
    let (accepted, unclear) = (all(|told| &told.accepted), all(|told| &told.unclear));
    until("what was accepted is stored", || {
        accepted.is_subset(&system.event_ids()).then_some(())
    });
    until("the queues are empty", || {
        (system.audit()["queued"]
            .as_object()
            .unwrap()
            .values()
            .all(|count| count == 0))
        .then_some(())
    });
    assert_eq!(worker.stop().code(), Some(0));
    let possible: BTreeSet<_> = accepted.union(&unclear).cloned().collect();
    let strange: Vec<_> = system.event_ids().difference(&possible).cloned().collect();
    assert_eq!(strange, [""; 0]);
}

/// Whether a process has a thread whose name begins so.
fn has_thread(pid: u32, name: &str) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("the process");
    threads
        .filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("comm")).ok())
        .any(|comm| comm.starts_with(name))
}

/// The publisher lives on the only HTTP thread, as does what waits for the confirm.
#[test]
fn an_event_is_confirmed_though_the_http_thread_has_ended() {
    ends_while_an_event_is_on_its_way("1");
}

/// The publisher does not; what waits for the confirm lives on one of them.
#[test]
fn an_event_is_confirmed_though_the_http_threads_have_ended() {
    ends_while_an_event_is_on_its_way("2");
}

fn ends_while_an_event_is_on_its_way(http_threads: &str) {
    let rabbitmq = TestStack::shared().rabbitmq();
    let server = SocketAddr::from(([127, 0, 0, 1], rabbitmq.port()));
    let proxy = Proxy::before(server);
    let mut system = System::builder(&format!("thread-ends-{http_threads}"))
        .variable("ADTALLY_AMQP_URL", proxy.url(&rabbitmq.url(), server))
        .variable("ADTALLY_HTTP_WORKERS", http_threads)
        .start();
    let api = system.take_api();
    assert!(has_thread(api.pid(), "actix-server wo"));
    proxy.set(Fault::Hole(Way::ToServer));
    let pixel = http::request(api.address, "GET", "/v1/pixel.gif?ad_id=7", &[], b"");
    assert_eq!(pixel.expect("a pixel").status, 200);
    // Its ad, behind its id.
    proxy.until_held("the event is on its way", b"\",7,");
    api.signal(Signal::TERM);
    until("the HTTP threads have ended", || {
        (!has_thread(api.pid(), "actix-server wo")).then_some(())
    });
    // What was on its way is lost, and only what somebody waits for is sent again.
    proxy.set(Fault::Reset);
    let status = until("the API ends", || api.exit_status());
    assert_eq!(status.code(), Some(0));
    assert!(!api.log().contains("not confirmed"), "{}", api.log());
    let worker = system.worker();
    until("the event is stored", || {
        (system.event_ids().len() == 1).then_some(())
    });
    assert_eq!(worker.stop().code(), Some(0));
}

/// The database takes two batches and keeps all others waiting until the gate is open: so a worker
/// is met in the middle of its work, however fast or slow it is.
const GATE: &str = "
    CREATE TABLE gate (open boolean);
    INSERT INTO gate VALUES (false);
    CREATE SEQUENCE batches;
    CREATE FUNCTION wait_at_gate() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF nextval('batches') > 2 THEN
            WHILE NOT (SELECT open FROM gate) LOOP
                PERFORM pg_sleep(0.02);
            END LOOP;
        END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER wait_at_gate BEFORE INSERT ON events
        FOR EACH STATEMENT EXECUTE FUNCTION wait_at_gate();";

fn open_gate(system: &System) {
    system.sql("UPDATE gate SET open = true");
}

/// A system with more messages in its queues than a worker takes at once, and their events' ids.
fn with_backlog(name: &str) -> (System, BTreeSet<String>) {
    let system = System::builder(name).max_event_age("36500d").start();
    let mut ids = BTreeSet::new();
    // Requests one by one: each makes one message of impressions and one of clicks.
    for number in 0..300 {
        let event = |ad: u32, kind: &str| {
            json!({
                "ad_id": ad, "kind": kind, "event_id": format!("event-{number}"),
                "occurred_at": format!("2026-03-01T{:02}:30:00Z", number % 24),
            })
        };
        let events = json!([
            event(1, "impression"),
            event(2, "impression"),
            event(1, "click")
        ]);
        ids.extend(system.accept(&events));
    }
    assert_eq!(ids.len(), 900);
    system.sql(GATE);
    (system, ids)
}

/// Waits until something is stored and something waits at the gate.
fn until_in_the_middle(system: &System, all: usize) {
    until("a batch is stored and another one waits", || {
        let batches = system.count("SELECT last_value FROM batches");
        let stored = system.count("SELECT count(*) FROM events");
        (stored > 0 && batches > 2).then_some(())
    });
    assert!(system.event_ids().len() < all);
}

/// Every event is stored once and counts once.
fn assert_counted_once(system: &System, ids: &BTreeSet<String>) {
    until("everything is stored", || {
        (system.count("SELECT count(*) FROM events") >= ids.len() as u64).then_some(())
    });
    assert_eq!(system.event_ids(), *ids);
    assert_eq!(
        system.count("SELECT count(*) FROM events"),
        ids.len() as u64
    );
    assert_eq!(system.count("SELECT count(*) FROM dead_letters"), 0);
    system.settle();
    let totals = |table: &str, of: &str| {
        system.sql(&format!(
            "SELECT count(*), sum(impressions), sum(clicks) FROM {table} WHERE ad_id = {of}"
        ))
    };
    assert_eq!(totals("ad_hourly_stats", "1"), "24|300|300");
    assert_eq!(totals("ad_hourly_stats", "2"), "24|300|0");
    assert_eq!(totals("ad_daily_stats", "1"), "1|300|300");
    assert_eq!(totals("ad_daily_stats", "2"), "1|300|0");
}

#[test]
fn a_worker_that_stops_hands_its_backlog_to_the_others() {
    let (system, ids) = with_backlog("worker-stops");
    let first = system.worker();
    let _second = system.worker();
    until_in_the_middle(&system, ids.len());
    first.signal(Signal::TERM);
    open_gate(&system);
    assert_eq!(first.stop().code(), Some(0));
    assert_counted_once(&system, &ids);
}

#[test]
fn a_worker_that_is_killed_in_the_middle_of_its_backlog_loses_and_repeats_nothing() {
    let (system, ids) = with_backlog("worker-killed");
    let first = system.worker();
    until_in_the_middle(&system, ids.len());
    first.kill();
    open_gate(&system);
    assert!(system.event_ids().len() < ids.len());
    let _second = system.worker();
    assert_counted_once(&system, &ids);
}
