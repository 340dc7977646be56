//! The API with a spool, beside a broker that is killed, frozen and brought back.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use adtally_broker::{BrokerConfig, ConsumerSession};
use adtally_devstack::testing::{TestStack, programs};
use adtally_devstack::{RabbitmqOptions, RabbitmqServer};
use adtally_wire::pack;
use tempfile::TempDir;

use super::support::{Api, poll};

const NO_DATABASE: &str = "postgres://127.0.0.1:1/x";

type Ids = BTreeSet<String>;

async fn broker() -> RabbitmqServer {
    let programs = programs().await;
    let options = RabbitmqOptions::new(&programs.unwrap());
    RabbitmqServer::start(options).await.unwrap()
}

struct Scene {
    broker: RabbitmqServer,
    directory: TempDir,
    prefix: String,
}

impl Scene {
    async fn new(name: &str) -> Self {
        Self {
            broker: broker().await,
            directory: TempDir::new().unwrap(),
            prefix: TestStack::shared().queue_prefix(name),
        }
    }

    fn api(&self) -> Api {
        let directory = self.directory.path().to_str().unwrap();
        let more = ["--spool-dir", directory, "--spool-max-bytes", "1M"];
        Api::start_as(&self.prefix, NO_DATABASE, &self.broker.url(), &more)
    }

    /// Takes from both queues until `wanted` have come; everything that came.
    async fn arrived(&self, wanted: &Ids) -> Ids {
        let config = BrokerConfig::new(&[self.broker.url()], &self.prefix, "test").unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut arrived = Ids::new();
        while !arrived.is_superset(wanted) && Instant::now() < deadline {
            let session = ConsumerSession::connect(&config).await.unwrap();
            let topology = config.topology();
            for queue in [topology.impressions_queue(), topology.clicks_queue()] {
                let mut subscription = session.subscribe(&queue, 100).await.unwrap();
                let wait = Duration::from_millis(500);
                while let Ok(Some(delivery)) = tokio::time::timeout(wait, subscription.next()).await
                {
                    let delivery = delivery.unwrap();
                    let events = pack::decode(&delivery.body).unwrap();
                    let ids = events.into_iter().map(|event| event.unwrap().id.as_uuid());
                    arrived.extend(ids.map(|id| id.to_string()));
                    delivery.ack().await.unwrap();
                }
            }
            session.close().await;
        }
        arrived
    }
}

/// Posts two events, which must be answered 202; their ids.
fn post(api: &Api) -> Ids {
    let body = r#"[{"ad_id":1,"kind":"impression"},{"ad_id":2,"kind":"click"}]"#;
    ids_of(&api.post("/v1/events?ids=1", body))
}

fn ids_of(answer: &str) -> Ids {
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    let ids: Vec<String> = serde_json::from_value(body["ids"].clone()).unwrap();
    ids.into_iter().collect()
}

fn metric(api: &Api, name: &str) -> f64 {
    let page = api.get("/metrics");
    let line = page.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("no {name} in {page}"))
        .trim()
        .parse()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_answered_while_the_broker_was_dead_all_arrive_once_it_is_back() {
    let scene = Scene::new("spool-dead").await;
    let mut api = scene.api();
    poll("the broker is used", || {
        post(&api);
        metric(&api, "adtally_spool_events ") == 0.0
    });
    scene.broker.kill();
    let mut answered = Ids::new();
    for _ in 0..30 {
        answered.extend(post(&api));
    }
    assert!(api.get("/readyz").starts_with("HTTP/1.1 200"));
    assert!(metric(&api, "adtally_spool_events ") > 50.0);
    assert!(metric(&api, "adtally_spool_bytes ") > 5_000.0);
    // Neither a crash of the API nor an orderly end loses them.
    api.signal("KILL");
    assert_eq!(api.exit_code(), None);
    api = scene.api();
    answered.extend(post(&api));
    api.signal("TERM");
    assert_eq!(api.exit_code(), Some(0));
    api = scene.api();
    answered.extend(post(&api));
    scene.broker.restart().await.unwrap();
    let arrived = scene.arrived(&answered).await;
    let missing: Vec<_> = answered.difference(&arrived).collect();
    assert!(missing.is_empty(), "{missing:?}");
    poll("the spool is empty", || {
        metric(&api, "adtally_spool_bytes ") == 0.0 && metric(&api, "adtally_spool_events ") == 0.0
    });
    assert!(metric(&api, "adtally_spool_replayed_events_total ") > 50.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_a_frozen_broker_holds_up_is_kept_even_when_the_api_is_stopped() {
    let scene = Scene::new("spool-frozen").await;
    let mut api = scene.api();
    poll("the broker is used", || {
        post(&api);
        metric(&api, "adtally_spool_events ") == 0.0
    });
    scene.broker.pause();
    let body = r#"{"ad_id":1,"kind":"click"}"#;
    let mut held_up = api.connect();
    held_up.send(&format!(
        "POST /v1/events?ids=1 HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    ));
    assert!(api.get("/v1/pixel.gif?ad_id=1").contains("GIF89a"));
    let started = Instant::now();
    api.signal("TERM");
    let answer = held_up.read_to_end();
    assert!(
        started.elapsed() < Duration::from_secs(8),
        "{:?}",
        started.elapsed()
    );
    let answered = ids_of(&answer);
    assert_eq!(api.exit_code(), Some(0));
    let _next = scene.api();
    scene.broker.resume();
    let arrived = scene.arrived(&answered).await;
    assert!(arrived.is_superset(&answered), "{answered:?} {arrived:?}");
}

#[test]
fn a_spool_without_room_and_a_directory_in_use_are_told() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().to_str().unwrap();
    let more = ["--spool-dir", path, "--spool-max-bytes", "4K"];
    let api = Api::start_with("spool-full", NO_DATABASE, "amqp://127.0.0.1:1", &more);
    api.until_ready();
    let event = r#"{"ad_id":1,"kind":"click"}"#;
    let answers: Vec<_> = (0..40).map(|_| api.post("/v1/events", event)).collect();
    let refused = answers
        .iter()
        .position(|answer| answer.starts_with("HTTP/1.1 503"));
    assert!(refused.is_some_and(|place| place > 10), "{answers:?}");
    poll("it is not ready", || {
        let ready = api.get("/readyz");
        ready.starts_with("HTTP/1.1 503") && ready.contains("the spool is full")
    });
    let (code, errors) = Api::run_to_end(&["--spool-dir", path], NO_DATABASE, "spool-second");
    assert_eq!(code, Some(78), "{errors}");
    let line = errors.lines().last().unwrap();
    let expected =
        format!("error: --spool-dir {path} cannot be used: another process spools there");
    assert!(line.starts_with(&expected), "{errors}");
}
