use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use adtally_broker::{
    BrokerConfig, BrokerState, ConsumerSession, NotKept, Publisher, PublisherOptions,
};
use adtally_devstack::testing::{TestStack, programs};
use adtally_devstack::{RabbitmqOptions, RabbitmqServer};
use adtally_domain::{Event, EventKind};
use uuid::Uuid;

use crate::harness::*;
use crate::proxy::{Mode, Proxy};

/// A publisher behind a wire that can be cut, and a configuration that reaches around it.
async fn behind_a_wire(hint: &str, deadline: Duration) -> (Proxy, Publisher, BrokerConfig) {
    let stack = TestStack::shared();
    let around = config(hint);
    let proxy = Proxy::to(stack.rabbitmq().port()).await;
    let through = config_at(
        &proxy.in_front_of(&stack.amqp_url()),
        around.topology().prefix(),
    );
    let options = PublisherOptions {
        deadline,
        ..PublisherOptions::default()
    };
    let publisher = Publisher::start(through, options);
    until_open(&publisher).await;
    (proxy, publisher, around)
}

/// Publishes single events until told to stop; the ids of those confirmed.
async fn publish_until(
    stop: Arc<AtomicBool>,
    publisher: Publisher,
    events: Vec<Event>,
) -> BTreeSet<Uuid> {
    let mut confirmed = BTreeSet::new();
    for event in events {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let id = event.id.as_uuid();
        if publisher.publish_events(vec![event]).await == [Ok(())] {
            confirmed.insert(id);
        }
    }
    confirmed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_confirmed_while_connections_break_is_in_the_queue() {
    let (proxy, publisher, around) = behind_a_wire("cut", Duration::from_secs(20)).await;
    let stop = Arc::new(AtomicBool::new(false));
    let publishing: Vec<_> = (0..8_u8)
        .map(|task| {
            let events = events(EventKind::Impression, task, 100_000);
            tokio::spawn(publish_until(stop.clone(), publisher.clone(), events))
        })
        .collect();
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(150)).await;
        proxy.cut_all().await;
        until_open(&publisher).await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut confirmed = BTreeSet::new();
    for task in publishing {
        confirmed.extend(task.await.unwrap());
    }
    assert!(confirmed.len() > 100, "only {} confirmed", confirmed.len());
    let stored = drain(&around, &around.topology().impressions_queue()).await;
    let missing: Vec<_> = confirmed
        .iter()
        .filter(|id| !stored.contains_key(id))
        .collect();
    assert!(
        missing.is_empty(),
        "{} of {} lost: {missing:?}",
        missing.len(),
        confirmed.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_in_doubt_is_sent_again_until_it_is_confirmed() {
    let (proxy, publisher, around) = behind_a_wire("doubt", Duration::from_secs(30)).await;
    proxy.set(Mode::Swallow);
    let sent = events(EventKind::Click, 1, 100);
    let handed_over = sent.clone();
    let other = publisher.clone();
    let publishing = tokio::spawn(async move { other.publish_events(handed_over).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    proxy.cut_all().await;
    assert_eq!(publishing.await.unwrap(), vec![Ok(()); 100]);
    let stored = drain(&around, &around.topology().clicks_queue()).await;
    assert_eq!(
        stored.keys().collect::<Vec<_>>(),
        ids(&sent).keys().collect::<Vec<_>>()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_broker_is_given_up_in_time_and_found_again() {
    let deadline = Duration::from_millis(500);
    let (proxy, publisher, _around) = behind_a_wire("silent", deadline).await;
    proxy.set(Mode::Swallow);
    let begun = Instant::now();
    let results = publisher
        .publish_events(events(EventKind::Click, 1, 3))
        .await;
    assert_eq!(results, [Err(NotKept::Deadline); 3]);
    assert!(begun.elapsed() < deadline * 4, "{:?}", begun.elapsed());
    until_state(&publisher, |state| {
        matches!(state, BrokerState::Blocked { .. })
    })
    .await;
    until_state(&publisher, |state| {
        matches!(state, BrokerState::Connecting { .. })
    })
    .await;
    eventually("a second attempt", async || proxy.seen() == 2).await;
    let begun = Instant::now();
    eventually("the first is closed", async || proxy.open() == 1).await;
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "only with the second attempt"
    );

    proxy.cut_all().await;
    until_open(&publisher).await;
    let results = publisher
        .publish_events(events(EventKind::Click, 2, 3))
        .await;
    assert_eq!(results, [Ok(()); 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_urls_the_first_that_answers_is_used() {
    let stack = TestStack::shared();
    let urls = ["amqp://127.0.0.1:1".to_owned(), stack.amqp_url()];
    let prefix = stack.queue_prefix("several");
    let config = BrokerConfig::new(&urls, &prefix, "test").unwrap();
    let publisher = publisher(&config).await;
    assert_eq!(
        publisher
            .publish_events(events(EventKind::Click, 1, 1))
            .await,
        [Ok(())]
    );
    ConsumerSession::connect(&config).await.unwrap();
}

async fn own_server() -> RabbitmqServer {
    let programs = programs().await.unwrap();
    RabbitmqServer::start(RabbitmqOptions::new(&programs))
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_short_of_memory_or_restarted_is_outlived() {
    let server = own_server().await;
    let config = config_at(&server.url(), "t-own");
    let queue = config.topology().clicks_queue();
    let publisher = publisher(&config).await;
    let first = events(EventKind::Click, 1, 10);
    assert_eq!(publisher.publish_events(first).await, [Ok(()); 10]);
    let session = ConsumerSession::connect(&config).await.unwrap();
    let mut subscription = session.subscribe(&queue, 10).await.unwrap();

    server
        .ctl(&["set_vm_memory_high_watermark", "0.0001"])
        .await
        .unwrap();
    let begun = Instant::now();
    let blocked = publisher
        .publish_events(events(EventKind::Click, 2, 10))
        .await;
    assert_eq!(blocked, [Err(NotKept::Blocked); 10]);
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    assert!(matches!(
        &*publisher.state().borrow(),
        BrokerState::Blocked { .. }
    ));
    let begun = Instant::now();
    let task = publisher
        .publish_pack(&events(EventKind::Click, 3, 1))
        .await;
    assert_eq!(task, Err(NotKept::Blocked));
    assert!(
        begun.elapsed() < Duration::from_millis(500),
        "{:?}",
        begun.elapsed()
    );

    // Consumers go on meanwhile.
    let delivery = tokio::time::timeout(PATIENCE, subscription.next())
        .await
        .unwrap();
    delivery.unwrap().unwrap().ack().await.unwrap();

    server
        .ctl(&["set_vm_memory_high_watermark", "0.8"])
        .await
        .unwrap();
    until_open(&publisher).await;
    assert_eq!(
        publisher
            .publish_events(events(EventKind::Click, 4, 10))
            .await,
        [Ok(()); 10]
    );

    // A publisher without anything to publish learns it too.
    server
        .ctl(&["set_vm_memory_high_watermark", "0.0001"])
        .await
        .unwrap();
    until_state(&publisher, |state| {
        matches!(state, BrokerState::Blocked { .. })
    })
    .await;
    server
        .ctl(&["set_vm_memory_high_watermark", "0.8"])
        .await
        .unwrap();
    until_open(&publisher).await;

    server.kill();
    until_state(&publisher, |state| {
        matches!(state, BrokerState::Connecting { .. })
    })
    .await;
    loop {
        match tokio::time::timeout(PATIENCE, subscription.next())
            .await
            .unwrap()
        {
            Some(Ok(delivery)) => drop(delivery),
            Some(Err(_)) => {}
            None => break,
        }
    }
    server.restart().await.unwrap();
    until_open(&publisher).await;
    let last = events(EventKind::Click, 5, 10);
    assert_eq!(publisher.publish_events(last.clone()).await, [Ok(()); 10]);
    let stored = drain(&config, &queue).await;
    assert!(
        ids(&last).keys().all(|id| stored.contains_key(id)),
        "{stored:?}"
    );
    publisher.close().await;
    server.stop().await;
}
