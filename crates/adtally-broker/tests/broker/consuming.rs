use std::time::Duration;

use adtally_broker::{BrokerConfig, ConsumerSession, Delivery, Subscription, ack_all};
use adtally_domain::EventKind;
use adtally_wire::celery::TaskCall;
use adtally_wire::{HeaderValue, pack};
use lapin::BasicProperties;
use lapin::options::{BasicGetOptions, BasicPublishOptions, BasicRejectOptions};
use lapin::types::{AMQPValue, FieldTable};

use crate::harness::*;

/// A queue with `count` messages of one event each, and a subscription to it.
async fn stocked(
    config: &BrokerConfig,
    count: u32,
    prefetch: u16,
) -> (ConsumerSession, Subscription) {
    let publisher = publisher(config).await;
    for event in events(EventKind::Click, 1, count) {
        publisher.publish_pack(&[event]).await.unwrap();
    }
    let session = ConsumerSession::connect(config).await.unwrap();
    let queue = config.topology().clicks_queue();
    let subscription = session.subscribe(&queue, prefetch).await.unwrap();
    (session, subscription)
}

async fn next(subscription: &mut Subscription) -> Delivery {
    let next = tokio::time::timeout(PATIENCE, subscription.next()).await;
    next.expect("no message came")
        .expect("the subscription ended")
        .unwrap()
}

async fn until_depth(config: &BrokerConfig, queue: &str, depth: u32) {
    let session = ConsumerSession::connect(config).await.unwrap();
    let what = format!("{depth} messages in {queue}");
    eventually(&what, async || {
        session.queue_depth(queue).await.unwrap() == depth
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_returned_message_comes_again_and_says_how_often() {
    let config = config("returned");
    let (_session, mut subscription) = stocked(&config, 1, 10).await;
    for times in 0..3 {
        let delivery = next(&mut subscription).await;
        assert_eq!(
            (delivery.delivery_count, delivery.redelivered),
            (times, times > 0)
        );
        delivery.give_back().await.unwrap();
    }
    next(&mut subscription).await.ack().await.unwrap();
    drop(subscription);
    until_depth(&config, &config.topology().clicks_queue(), 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_message_is_found_in_the_dead_queue_with_its_history() {
    let config = config("refused");
    let event = events(EventKind::Click, 1, 1);
    publisher(&config).await.publish_pack(&event).await.unwrap();
    let queue = config.topology().clicks_queue();
    let channel = operator().await;
    let got = channel.basic_get(queue.as_str().into(), BasicGetOptions::default());
    let refused = got.await.unwrap().unwrap().delivery;
    let (body, name) = (
        refused.data.clone(),
        refused.properties.message_id().clone(),
    );
    let reject = BasicRejectOptions { requeue: false };
    refused.reject(reject).await.unwrap();

    let dead = config.topology().dead_queue();
    until_depth(&config, &dead, 1).await;
    let delivery = take_all(&config, &dead).await.pop().unwrap();
    assert_eq!(delivery.body, body);
    assert_eq!(
        delivery.properties.message_id,
        name.map(|name| name.to_string())
    );
    assert_eq!(
        delivery.properties.headers["x-first-death-queue"].as_text(),
        Some(queue.as_str())
    );
    assert!(matches!(
        delivery.properties.headers["x-death"],
        HeaderValue::List(_)
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pack_sent_again_is_the_same_but_never_came_back() {
    let config = config("again");
    let (_session, mut subscription) = stocked(&config, 1, 10).await;
    next(&mut subscription).await.give_back().await.unwrap();
    let old = next(&mut subscription).await;
    let publisher = publisher(&config).await;
    publisher.publish_again(&old).await.unwrap();
    let new = next(&mut subscription).await;
    assert_eq!((old.delivery_count, new.delivery_count), (1, 0));
    assert_eq!(
        (&new.body, &new.properties.message_id),
        (&old.body, &old.properties.message_id)
    );
    assert_eq!(new.properties.message_type, old.properties.message_type);

    publisher.publish_dead(&new).await.unwrap();
    ack_all(vec![old, new]).await.unwrap();
    let dead = take_all(&config, &config.topology().dead_queue()).await;
    assert_eq!((dead.len(), dead[0].delivery_count), (1, 0));
}

/// Puts a Celery task on the task queue, refuses it there and takes it from the dead queue.
async fn refused_task(config: &BrokerConfig, dead: &mut Subscription) -> Delivery {
    let (topology, channel) = (config.topology(), operator().await);
    let mut headers = FieldTable::default();
    for (name, value) in [
        ("id", TASK),
        ("task", "adtally.sweep_dirty"),
        ("x-own", "1"),
    ] {
        headers.insert(name.into(), AMQPValue::LongString(value.into()));
    }
    let publish = channel.basic_publish(
        "".into(),
        topology.tasks_queue().into(),
        BasicPublishOptions::default(),
        b"[[], {}, {}]",
        BasicProperties::default().with_headers(headers),
    );
    publish.await.unwrap().await.unwrap();
    refuse(config).await;
    next(dead).await
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_fill_a_frame_and_bodies_of_several_arrive_and_are_sent_on() {
    let config = config("long headers");
    let (publisher, topology) = (publisher(&config).await, config.topology());
    // All headers have to fit into one frame, of which RabbitMQ allows 128 KiB. Who agrees to less can
    // neither take such a message nor put it anywhere else.
    let (long, body) = ("h".repeat(100 * 1_024), vec![b'b'; 300 * 1_024]);
    let mut headers = FieldTable::default();
    headers.insert("x-long".into(), AMQPValue::LongString(long.as_str().into()));
    let channel = operator().await;
    let publish = channel.basic_publish(
        "".into(),
        topology.impressions_queue().into(),
        BasicPublishOptions::default(),
        &body,
        BasicProperties::default().with_headers(headers),
    );
    publish.await.unwrap().await.unwrap();

    let mut came = take_all(&config, &topology.impressions_queue()).await;
    let delivery = came.pop().expect("the message");
    publisher.publish_dead(&delivery).await.unwrap();
    ack_all(vec![delivery]).await.unwrap();
    let dead = take_all(&config, &topology.dead_queue()).await;
    assert_eq!(dead[0].body, body);
    assert_eq!(
        dead[0].properties.headers["x-long"].as_text(),
        Some(long.as_str())
    );
}

const TASK: &str = "7b6b4f0e-6f2c-4b1c-9a55-0e0f3c2b1a00";

/// Refuses the one message of the task queue.
async fn refuse(config: &BrokerConfig) {
    let (queue, channel) = (config.topology().tasks_queue(), operator().await);
    let mut got = None;
    eventually("a task", async || {
        let get = channel.basic_get(queue.as_str().into(), BasicGetOptions::default());
        got = get.await.unwrap();
        got.is_some()
    })
    .await;
    let reject = BasicRejectOptions { requeue: false };
    got.unwrap().delivery.reject(reject).await.unwrap();
}

/// The queue and the reason of the death that the broker noted first in its list.
fn last_death(delivery: &Delivery) -> (&str, &str) {
    let HeaderValue::List(deaths) = &delivery.properties.headers["x-death"] else {
        panic!("{delivery:?}");
    };
    let Some(HeaderValue::Table(last)) = deaths.first() else {
        panic!("{delivery:?}");
    };
    let text = |name: &str| last[name].as_text().unwrap();
    (text("queue"), text("reason"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_task_sent_again_keeps_its_name_and_how_it_died() {
    let config = config("dead task");
    let (publisher, topology) = (publisher(&config).await, config.topology());
    let session = ConsumerSession::connect(&config).await.unwrap();
    let mut dead = session.subscribe(&topology.dead_queue(), 10).await.unwrap();
    let died = refused_task(&config, &mut dead).await;
    died.give_back().await.unwrap();
    let died = next(&mut dead).await;
    assert_eq!(died.delivery_count, 1);

    publisher.publish_again(&died).await.unwrap();
    let again = next(&mut dead).await;
    publisher.publish_dead(&again).await.unwrap();
    let dead_again = next(&mut dead).await;
    for sent in [&again, &dead_again] {
        assert_eq!((sent.delivery_count, &sent.body), (0, &died.body));
        assert_eq!(sent.properties.headers.get("x-delivery-count"), None);
        for name in ["id", "task", "x-own", "x-first-death-queue"] {
            assert_eq!(
                sent.properties.headers[name], died.properties.headers[name],
                "{name}"
            );
        }
        let queue = topology.tasks_queue();
        assert_eq!(last_death(sent), (queue.as_str(), "rejected"));
    }
    ack_all(vec![died, again, dead_again]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_death_of_a_message_that_brought_an_older_one_along_comes_first() {
    let config = config("older death");
    let (publisher, topology) = (publisher(&config).await, config.topology());
    let (retry, tasks) = (topology.retry_queues().remove(0), topology.tasks_queue());
    // It waits, and is rejected: a history with an expiry in it, which does not come first.
    let task = TaskCall::from(crate::tasks::task());
    publisher
        .publish_task_after(&task, Duration::from_millis(1))
        .await
        .unwrap();
    let session = ConsumerSession::connect(&config).await.unwrap();
    let mut waited = session.subscribe(&tasks, 10).await.unwrap();
    let expired = next(&mut waited).await;
    assert_eq!(last_death(&expired), (retry.as_str(), "expired"));
    publisher.publish_again(&expired).await.unwrap();
    let again = next(&mut waited).await;
    assert_eq!(last_death(&again), (retry.as_str(), "expired"));
    again.give_back().await.unwrap();
    expired.ack().await.unwrap();
    waited.cancel().await.unwrap();

    refuse(&config).await;
    let mut dead = session.subscribe(&topology.dead_queue(), 10).await.unwrap();
    let died = next(&mut dead).await;
    assert_eq!(last_death(&died), (tasks.as_str(), "rejected"), "{died:?}");
    died.ack().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_is_handed_out_than_the_prefetch() {
    let config = config("prefetch");
    let (session, mut subscription) = stocked(&config, 10, 3).await;
    let queue = config.topology().clicks_queue();
    eventually("three on their way", async || {
        session.queue_depth(&queue).await.unwrap() == 7
    })
    .await;
    let mut held = vec![next(&mut subscription).await];
    eventually("two that have arrived", async || {
        held.extend(subscription.try_next_ready().map(Result::unwrap));
        held.len() == 3
    })
    .await;
    assert!(subscription.try_next_ready().is_none());
    ack_all(held).await.unwrap();
    next(&mut subscription).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_returns_what_was_not_handed_out_and_leaves_the_rest_to_its_holder() {
    let config = config("cancel");
    let (session, mut subscription) = stocked(&config, 10, 10).await;
    let queue = config.topology().clicks_queue();
    let held = next(&mut subscription).await;
    eventually("all on their way", async || {
        session.queue_depth(&queue).await.unwrap() == 0
    })
    .await;
    let returned = subscription.cancel().await.unwrap();
    assert_eq!(returned, 9);
    until_depth(&config, &queue, 9).await;

    held.ack().await.unwrap();
    drop(session);
    let counts: Vec<_> = take_all(&config, &queue)
        .await
        .iter()
        .map(|delivery| delivery.delivery_count)
        .collect();
    assert_eq!(counts, [1; 9]);
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledging_many_spares_those_still_held() {
    let config = config("many");
    let (session, mut subscription) = stocked(&config, 8, 10).await;
    let mut deliveries = Vec::new();
    for _ in 0..8 {
        deliveries.push(next(&mut subscription).await);
    }
    let returned = deliveries.remove(6);
    let held = deliveries.remove(3);
    let kept = [&held, &returned].map(|delivery| delivery.body.clone());
    let second_half = deliveries.split_off(3);
    ack_all(second_half).await.unwrap();
    ack_all(deliveries).await.unwrap();
    returned.give_back().await.unwrap();
    drop(held);
    drop(subscription);
    drop(session);

    let queue = config.topology().clicks_queue();
    until_depth(&config, &queue, 2).await;
    for delivery in take_all(&config, &queue).await {
        assert!(kept.contains(&delivery.body));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_queue_ends_its_subscription_for_good() {
    let config = config("deleted");
    let (session, mut subscription) = stocked(&config, 1, 10).await;
    let held = next(&mut subscription).await;
    let queue = config.topology().clicks_queue();
    operator()
        .await
        .queue_delete(queue.as_str().into(), Default::default())
        .await
        .unwrap();
    for _ in 0..2 {
        let next = tokio::time::timeout(PATIENCE, subscription.next())
            .await
            .expect("no end came");
        assert!(next.is_none(), "{next:?}");
        assert!(subscription.try_next_ready().is_none());
    }
    // Whether the broker still knows the delivery or not: settling it does not hang.
    let _ = tokio::time::timeout(Duration::from_secs(6), held.ack())
        .await
        .unwrap();
    drop(session);

    let session = ConsumerSession::connect(&config).await.unwrap();
    session.subscribe(&queue, 1).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn settling_after_the_session_is_over_is_an_error() {
    let config = config("over");
    let (session, mut subscription) = stocked(&config, 2, 10).await;
    let (one, two) = (next(&mut subscription).await, next(&mut subscription).await);
    session.close().await;
    assert!(one.ack().await.is_err());
    assert!(ack_all(vec![two]).await.is_err());
    while let Some(item) = tokio::time::timeout(PATIENCE, subscription.next())
        .await
        .unwrap()
    {
        assert!(item.is_err());
    }
    let queue = config.topology().clicks_queue();
    until_depth(&config, &queue, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pack_of_a_newer_version_can_be_left_queued() {
    let config = config("newer");
    let session = ConsumerSession::connect(&config).await.unwrap();
    let topology = config.topology();
    let channel = operator().await;
    let publish = channel.basic_publish(
        topology.events_exchange().into(),
        "event.click".into(),
        BasicPublishOptions::default(),
        br#"{"v":3,"rows":[]}"#,
        BasicProperties::default().with_type("adtally.pack".into()),
    );
    publish.await.unwrap().await.unwrap();
    let queue = topology.clicks_queue();
    let mut subscription = session.subscribe(&queue, 5).await.unwrap();
    let delivery = next(&mut subscription).await;
    assert_eq!(
        pack::decode(&delivery.body),
        Err(pack::PackError::NewerVersion(3))
    );
    delivery.give_back().await.unwrap();
    subscription.cancel().await.unwrap();
    until_depth(&config, &queue, 1).await;
}
