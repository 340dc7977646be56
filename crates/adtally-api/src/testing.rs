//! The API without servers, for tests of what it answers.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::body::{MessageBody, to_bytes};
use actix_web::http::StatusCode;
use actix_web::http::header::HeaderMap;
use actix_web::middleware::from_fn;
use actix_web::test::{TestRequest, call_service, init_service};
use actix_web::{App, test};
use adtally_broker::{BrokerConfig, Publisher, PublisherOptions};
use adtally_devstack::testing::{TestDatabase, TestStack};
use adtally_domain::{AdId, Event, ReportingZone, Timestamp};
use adtally_service::metrics::Registry;
use adtally_service::{ClientNetwork, Health};
use adtally_store::{Store, StoreConfig};
use clap::Parser;
use futures_util::future::BoxFuture;

use crate::app_data::AppData;
use crate::args::{ApiArgs, Config};
use crate::http::body::{BodyMemory, Reservation};
use crate::http::middleware::around_routes;
use crate::ingest::sink::{Durability, EventSink};
use crate::server::configure_app;

/// What bodies may hold in all tests.
pub(crate) const BODY_MEMORY: usize = 64 * 1_024 * 1_024;

/// The time in all tests: 2026-11-22T06:00:00Z.
pub(crate) const NOW: &str = "2026-11-22T06:00:00Z";

pub(crate) fn at(text: &str) -> Timestamp {
    let time: chrono::DateTime<chrono::Utc> = text.parse().unwrap();
    time.try_into().unwrap()
}

/// The path of a route with ids in it.
pub(crate) fn uri(path: &str) -> String {
    let letter = uuid::Uuid::nil().to_string();
    let path = path
        .replace("{letter_id}", &letter)
        .replace("{file:.*}", "");
    path.replace("{ad_id}", "1").replace("{id}", "1")
}

/// Takes events into memory, or as a test says.
#[derive(Default)]
pub(crate) struct MemorySink {
    taken: Mutex<Vec<Event>>,
    script: Mutex<Option<Script>>,
}

/// What a test makes of each event.
pub(crate) type Script = Box<dyn Fn(&Event) -> Durability + Send>;

impl MemorySink {
    pub(crate) fn events(&self) -> Vec<Event> {
        self.taken.lock().unwrap().clone()
    }

    fn outcome(&self, event: Event) -> Durability {
        let script = self.script.lock().unwrap();
        let outcome = script
            .as_ref()
            .map_or(Durability::Durable, |script| script(&event));
        if outcome == Durability::Durable {
            self.taken.lock().unwrap().push(event);
        }
        outcome
    }
}

impl EventSink for MemorySink {
    fn send(&self, events: Vec<Event>) -> BoxFuture<'_, Vec<Durability>> {
        Box::pin(async move {
            events
                .into_iter()
                .map(|event| self.outcome(event))
                .collect()
        })
    }
}

/// Never answers.
struct SilentSink;

impl EventSink for SilentSink {
    fn send(&self, _: Vec<Event>) -> BoxFuture<'_, Vec<Durability>> {
        Box::pin(std::future::pending())
    }
}

/// An API whose events go to memory, and whose database is away unless a test gives one.
pub(crate) struct TestApi {
    pub(crate) sink: Arc<MemorySink>,
    pub(crate) app: AppData,
    registry: Registry,
}

/// Takes all of `memory` for many clients, down to less than 64 KiB of each part.
pub(crate) fn exhaust(memory: &BodyMemory) -> Vec<Reservation> {
    let mut taken = Vec::new();
    for (bytes, networks) in [(128 << 10, 50), (64 << 10, 250)] {
        for number in 0..networks {
            let network = ClientNetwork::from(IpAddr::from([203, 0, 113, number]));
            let next = || {
                let mut reservation = memory.reserve(network);
                reservation.grow_to(bytes).is_ok().then_some(reservation)
            };
            taken.extend(std::iter::from_fn(next));
        }
    }
    taken
}

/// The configuration of an API that nobody configured, but for `zone` and [`BODY_MEMORY`].
fn config(zone: Option<ReportingZone>) -> Config {
    let urls = ["--database-url", "postgres://h/d", "--amqp-url", "amqp://h"];
    let args = ApiArgs::try_parse_from(["adtally-api"].iter().chain(&urls)).unwrap();
    let mut config = args.resolve().unwrap();
    (config.zone, config.body_memory) = (zone, BODY_MEMORY);
    config
}

/// A publisher whose broker is away.
fn nowhere() -> Publisher {
    publisher("amqp://127.0.0.1:1", "none")
}

fn publisher(url: &str, prefix: &str) -> Publisher {
    let config = BrokerConfig::new(&[url], prefix, "test").unwrap();
    let options = PublisherOptions {
        deadline: Duration::from_secs(2),
        ..PublisherOptions::default()
    };
    Publisher::start(config, options)
}

/// Migrates on a thread of its own: tests are in a runtime already.
fn migrate(url: &str) {
    let store = Store::connect(StoreConfig::new(url));
    let work = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(store.migrate()).unwrap();
    };
    std::thread::scope(|scope| scope.spawn(work).join().unwrap());
}

/// What the API answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The problem's code, once the answer is shaped as a problem.
    pub(crate) fn code(&self) -> String {
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{self:?}"
        );
        assert_eq!(self.json()["status"], u16::from(self.status));
        self.json()["code"].as_str().unwrap().to_owned()
    }
}

impl TestApi {
    pub(crate) fn new() -> Self {
        let mut config = StoreConfig::new("postgres://127.0.0.1:1/none");
        config.connect_timeout = Duration::from_millis(100);
        Self::with_store(Store::connect(config), None)
    }

    pub(crate) fn with_store(store: Store, zone: Option<ReportingZone>) -> Self {
        let sink = Arc::new(MemorySink::default());
        Self::with(sink.clone(), sink, store, zone, nowhere())
    }

    /// An API with a migrated database of its own, which reports in `zone`.
    pub(crate) fn with_database(zone: &str) -> (Self, TestDatabase<'static>) {
        let database = TestStack::shared().prepared_database("api", migrate);
        let store = Store::connect(StoreConfig::new(database.url()));
        (
            Self::with_store(store, Some(zone.parse().unwrap())),
            database,
        )
    }

    /// An API with a migrated database and queues of its own, whose names begin with the text
    /// that is answered too.
    pub(crate) fn with_servers() -> (Self, TestDatabase<'static>, String) {
        let stack = TestStack::shared();
        let database = stack.prepared_database("api", migrate);
        let store = Store::connect(StoreConfig::new(database.url()));
        let prefix = stack.queue_prefix("api");
        let publisher = publisher(&stack.amqp_url(), &prefix);
        let sink = Arc::new(MemorySink::default());
        let zone = Some(ReportingZone::UTC);
        let api = Self::with(sink.clone(), sink, store, zone, publisher);
        (api, database, prefix)
    }

    pub(crate) fn that_never_hears_from_the_broker() -> Self {
        let unused = Arc::new(MemorySink::default());
        let store = Store::connect(StoreConfig::new("postgres://127.0.0.1:1/none"));
        Self::with(Arc::new(SilentSink), unused, store, None, nowhere())
    }

    fn with(
        sink: Arc<dyn EventSink>,
        memory: Arc<MemorySink>,
        store: Store,
        zone: Option<ReportingZone>,
        publisher: Publisher,
    ) -> Self {
        let registry = Registry::new();
        let config = config(zone);
        let address = config.bind.ip();
        let app = AppData::new(
            &config,
            address,
            store,
            publisher,
            sink,
            || at(NOW),
            &registry,
        );
        Self {
            sink: memory,
            app,
            registry,
        }
    }

    /// Takes all memory for bodies, up to less than what a large answer needs, until it is dropped.
    pub(crate) fn exhaust_memory(&self) -> Vec<Reservation> {
        exhaust(self.app.bodies.memory())
    }

    /// From now on `script` says of each event how durable it is.
    pub(crate) fn script(&self, script: impl Fn(&Event) -> Durability + Send + 'static) {
        *self.sink.script.lock().unwrap() = Some(Box::new(script));
    }

    /// Makes clicks on `ad` lead to `target`.
    pub(crate) fn with_target(self, ad: i64, target: &str) -> Self {
        self.app.ads.fill(vec![adtally_store::AdTarget {
            id: AdId::new(ad).unwrap(),
            target_url: Some(target.to_owned()),
            approved: true,
        }]);
        self
    }

    pub(crate) async fn call(&self, request: TestRequest) -> Answer {
        let (app_data, registry) = (self.app.clone(), self.registry.clone());
        let health = Health::new();
        let app = App::new()
            .wrap(from_fn(around_routes))
            .configure(|config| configure_app(config, app_data, &health, &registry));
        let app = init_service(app).await;
        let response = call_service(&app, request.to_request()).await;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = to_bytes(response.into_body().boxed())
            .await
            .unwrap()
            .to_vec();
        Answer {
            status,
            headers,
            body,
        }
    }

    pub(crate) async fn get(&self, uri: &str) -> Answer {
        self.call(TestRequest::get().uri(uri)).await
    }

    /// Posts `body` as JSON to `/v1/events`.
    pub(crate) async fn post_events(&self, body: impl Into<Vec<u8>>) -> Answer {
        self.post("/v1/events", "application/json", body.into())
            .await
    }

    pub(crate) async fn post(&self, uri: &str, content_type: &str, body: Vec<u8>) -> Answer {
        let request = test::TestRequest::post().uri(uri);
        self.call(
            request
                .insert_header(("content-type", content_type))
                .set_payload(body),
        )
        .await
    }

    pub(crate) async fn post_json(&self, uri: &str, body: serde_json::Value) -> Answer {
        self.post(uri, "application/json", body.to_string().into_bytes())
            .await
    }

    pub(crate) async fn patch_json(&self, uri: &str, body: serde_json::Value) -> Answer {
        let request = TestRequest::patch()
            .uri(uri)
            .insert_header(("content-type", "application/json"));
        self.call(request.set_payload(body.to_string())).await
    }

    /// The value of one line of the metrics.
    pub(crate) fn metric(&self, line: &str) -> f64 {
        let text = self.registry.render();
        let found = text
            .lines()
            .find_map(|candidate| candidate.strip_prefix(line)?.parse().ok());
        found.unwrap_or_else(|| panic!("no {line} in:\n{text}"))
    }
}
