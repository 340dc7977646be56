//! What every test needs: names of its own, events, a look into the queues.

use std::collections::BTreeMap;
use std::sync::{Mutex, Once};
use std::time::Duration;

use adtally_broker::{
    BrokerConfig, BrokerState, ConsumerSession, Delivery, Publisher, PublisherOptions,
};
use adtally_devstack::testing::TestStack;
use adtally_domain::{AdId, Event, EventId, EventKind, Timestamp};
use adtally_wire::pack;
use lapin::{Channel, Connection, ConnectionProperties};
use uuid::Uuid;

/// Nothing that works takes so long, not even on a machine busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A configuration with a prefix of its own on the shared server.
pub(crate) fn config(hint: &str) -> BrokerConfig {
    let stack = TestStack::shared();
    config_at(&stack.amqp_url(), &stack.queue_prefix(hint))
}

pub(crate) fn config_at(url: &str, prefix: &str) -> BrokerConfig {
    watch_log();
    BrokerConfig::new(&[url], prefix, "adtally-broker tests").unwrap()
}

pub(crate) async fn publisher(config: &BrokerConfig) -> Publisher {
    let publisher = Publisher::start(config.clone(), PublisherOptions::default());
    until_open(&publisher).await;
    publisher
}

pub(crate) async fn until_open(publisher: &Publisher) {
    until_state(publisher, BrokerState::is_open).await;
}

pub(crate) async fn until_state(publisher: &Publisher, wanted: impl FnMut(&BrokerState) -> bool) {
    let mut states = publisher.state();
    let arrived = tokio::time::timeout(PATIENCE, states.wait_for(wanted)).await;
    arrived
        .unwrap_or_else(|_| panic!("still {}", *publisher.state().borrow()))
        .unwrap();
}

/// A channel for what only an operator does.
pub(crate) async fn operator() -> Channel {
    operator_at(&TestStack::shared().amqp_url()).await
}

pub(crate) async fn operator_at(url: &str) -> Channel {
    let connection = Connection::connect(url, ConnectionProperties::default())
        .await
        .unwrap();
    connection.create_channel().await.unwrap()
}

/// `count` different events; `seed` tells them from other tests' and calls'.
pub(crate) fn events(kind: EventKind, seed: u8, count: u32) -> Vec<Event> {
    let time = Timestamp::from_millis(1_795_327_200_123).unwrap();
    let event = |number: u32| {
        let [a, b, c, d] = number.to_be_bytes();
        Event {
            visitor_id: Some(format!("visitor-{number}")),
            user_agent: Some("Mozilla/5.0 (X11; Linux x86_64)".to_owned()),
            ..Event::new(
                EventId::v7(time, [kind.code(), seed, a, b, c, d, 0, 0, 0, 0]),
                kind,
                AdId::new(i64::from(number) + 1).unwrap(),
                time,
            )
        }
    };
    (0..count).map(event).collect()
}

pub(crate) fn ids(events: &[Event]) -> BTreeMap<Uuid, usize> {
    let mut ids = BTreeMap::new();
    for event in events {
        *ids.entry(event.id.as_uuid()).or_default() += 1;
    }
    ids
}

/// Everything in `queue`, acknowledged; how often each event is in it.
pub(crate) async fn drain(config: &BrokerConfig, queue: &str) -> BTreeMap<Uuid, usize> {
    let mut found = Vec::new();
    for delivery in take_all(config, queue).await {
        assert_eq!(
            delivery.properties.message_type.as_deref(),
            Some(pack::MESSAGE_TYPE)
        );
        found.extend(
            pack::decode(&delivery.body)
                .unwrap()
                .into_iter()
                .map(Result::unwrap),
        );
    }
    ids(&found)
}

/// Every message in `queue`, unsettled.
pub(crate) async fn take_all(config: &BrokerConfig, queue: &str) -> Vec<Delivery> {
    let session = ConsumerSession::connect(config).await.unwrap();
    let expected = session.queue_depth(queue).await.unwrap();
    let mut subscription = session.subscribe(queue, 10_000).await.unwrap();
    let mut deliveries = Vec::new();
    for _ in 0..expected {
        let next = tokio::time::timeout(PATIENCE, subscription.next()).await;
        deliveries.push(next.expect("no message came").unwrap().unwrap());
    }
    deliveries
}

/// Waits until `condition` holds.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !condition().await {
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

static LOG: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The warnings and errors so far that hold `part`.
pub(crate) fn warnings_with(part: &str) -> Vec<String> {
    LOG.lock()
        .unwrap()
        .iter()
        .filter(|line| line.contains(part))
        .cloned()
        .collect()
}

fn watch_log() {
    struct Watcher;
    impl log::Log for Watcher {
        fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
            metadata.level() <= log::Level::Warn && metadata.target().starts_with("adtally")
        }
        fn log(&self, record: &log::Record<'_>) {
            if self.enabled(record.metadata()) {
                LOG.lock().unwrap().push(record.args().to_string());
            }
        }
        fn flush(&self) {}
    }
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Watcher).unwrap();
        log::set_max_level(log::LevelFilter::Warn);
    });
}
