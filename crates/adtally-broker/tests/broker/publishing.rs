use std::collections::BTreeMap;

use adtally_broker::{BrokerState, ConsumerSession, NotKept, Publisher, PublisherOptions};
use adtally_domain::{Event, EventKind};
use adtally_wire::pack;
use futures_util::future::join_all;
use lapin::BasicProperties;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};

use crate::harness::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmed_event_is_in_the_queue_of_its_kind() {
    let config = config("confirmed");
    let publisher = publisher(&config).await;
    let impressions = events(EventKind::Impression, 1, 1_500);
    let clicks = events(EventKind::Click, 1, 700);
    let mixed: Vec<Event> = impressions
        .iter()
        .zip(clicks.iter().cycle())
        .flat_map(|(a, b)| [a, b])
        .cloned()
        .collect();
    let results = publisher.publish_events(mixed.clone()).await;
    assert_eq!(results, vec![Ok(()); mixed.len()]);
    let topology = config.topology();
    assert_eq!(
        drain(&config, &topology.impressions_queue()).await,
        ids(&impressions)
    );
    let sent_clicks: Vec<_> = mixed
        .into_iter()
        .filter(|e| e.kind == EventKind::Click)
        .collect();
    assert_eq!(
        drain(&config, &topology.clicks_queue()).await,
        ids(&sent_clicks)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_events_need_no_broker() {
    let config = config_at("amqp://127.0.0.1:1", "t-none");
    let publisher = Publisher::start(config, PublisherOptions::default());
    assert_eq!(publisher.publish_events(Vec::new()).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_wait_together_travel_together() {
    let config = config("together");
    let publisher = publisher(&config).await;
    let sent = events(EventKind::Impression, 1, 2_000);
    let requests = sent.iter().map(|event| {
        let (publisher, event) = (publisher.clone(), event.clone());
        tokio::spawn(async move { publisher.publish_events(vec![event]).await })
    });
    for result in join_all(requests).await {
        assert_eq!(result.unwrap(), [Ok(())]);
    }
    let queue = config.topology().impressions_queue();
    let messages = take_all(&config, &queue).await;
    assert!(
        messages.len() < 1_000,
        "{} messages for 2000 events",
        messages.len()
    );
    drop(messages);
    assert_eq!(drain(&config, &queue).await, ids(&sent));
}

#[tokio::test(flavor = "multi_thread")]
async fn packs_keep_their_bounds_and_have_names_of_their_own() {
    let config = config("bounds");
    let options = PublisherOptions {
        pack_events: 100,
        pack_bytes: 8_000,
        ..Default::default()
    };
    let publisher = Publisher::start(config.clone(), options);
    let sent = events(EventKind::Click, 1, 1_000);
    assert_eq!(
        publisher.publish_events(sent.clone()).await,
        vec![Ok(()); 1_000]
    );
    publisher.publish_pack(&sent[..3]).await.unwrap();

    let deliveries = take_all(&config, &config.topology().clicks_queue()).await;
    let mut names = BTreeMap::new();
    for delivery in &deliveries {
        assert!(
            delivery.body.len() <= 8_300,
            "{} bytes",
            delivery.body.len()
        );
        assert!(pack::decode(&delivery.body).unwrap().len() <= 100);
        assert_eq!(
            delivery.properties.content_type.as_deref(),
            Some("application/json")
        );
        assert_eq!(delivery.routing_key, "event.click");
        *names
            .entry(delivery.properties.message_id.clone().unwrap())
            .or_insert(0) += 1;
    }
    assert_eq!(names.len(), deliveries.len());
    assert_eq!(
        pack::decode(&deliveries.last().unwrap().body)
            .unwrap()
            .len(),
        3
    );
}

/// Makes the queue of clicks one that holds a single message, and fills it.
async fn with_full_clicks_queue(queue: &str) {
    let channel = operator().await;
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(1));
    arguments.insert(
        "x-overflow".into(),
        AMQPValue::LongString("reject-publish".into()),
    );
    let options = QueueDeclareOptions {
        durable: true,
        ..Default::default()
    };
    channel
        .queue_declare(queue.into(), options, arguments)
        .await
        .unwrap();
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await
        .unwrap();
    let options = BasicPublishOptions::default();
    let properties = BasicProperties::default();
    let publish = channel.basic_publish("".into(), queue.into(), options, b"full", properties);
    assert!(publish.await.unwrap().await.unwrap().is_ack());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_of_many_publishers_gets_exactly_its_own_results() {
    let config = config("own");
    let clicks_queue = config.topology().clicks_queue();
    with_full_clicks_queue(&clicks_queue).await;
    let publisher = publisher(&config).await;
    let tasks = (0..16_u8).map(|task| {
        let publisher = publisher.clone();
        tokio::spawn(async move {
            let impressions = events(EventKind::Impression, task, 60);
            let clicks = events(EventKind::Click, task, 60);
            for (impression, click) in impressions.iter().zip(&clicks) {
                let both = vec![click.clone(), impression.clone()];
                let single = publisher.publish_events(vec![impression.clone()]);
                let (both, single) = tokio::join!(publisher.publish_events(both), single);
                assert_eq!(both, [Err(NotKept::Nacked), Ok(())]);
                assert_eq!(single, [Ok(())]);
            }
        })
    });
    for task in join_all(tasks).await {
        task.unwrap();
    }
    let stored = drain(&config, &config.topology().impressions_queue()).await;
    assert_eq!(stored.len(), 16 * 60);
    assert!(stored.values().all(|times| *times == 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_full_queue_refuses_is_reported_as_refused() {
    let config = config("full");
    with_full_clicks_queue(&config.topology().clicks_queue()).await;
    let publisher = publisher(&config).await;
    let clicks = events(EventKind::Click, 1, 3);
    assert_eq!(
        publisher.publish_events(clicks.clone()).await,
        [Err(NotKept::Nacked); 3]
    );
    assert_eq!(publisher.publish_pack(&clicks).await, Err(NotKept::Nacked));
    assert!(publisher.state().borrow().is_open());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_finds_no_queue_is_kept_in_the_unrouted_queue() {
    let config = config("unrouted");
    let publisher = publisher(&config).await;
    let topology = config.topology();
    operator()
        .await
        .queue_delete(topology.clicks_queue().into(), Default::default())
        .await
        .unwrap();
    let (clicks, impressions) = (
        events(EventKind::Click, 1, 30),
        events(EventKind::Impression, 1, 30),
    );
    let sends = clicks
        .iter()
        .chain(&impressions)
        .map(|e| publisher.publish_events(vec![e.clone()]));
    assert!(
        join_all(sends)
            .await
            .into_iter()
            .flatten()
            .all(|result| result.is_ok())
    );
    assert_eq!(
        drain(&config, &topology.unrouted_queue()).await,
        ids(&clicks)
    );
    assert_eq!(
        drain(&config, &topology.impressions_queue()).await,
        ids(&impressions)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_waits_for_what_was_handed_over_and_takes_nothing_more() {
    let config = config("closing");
    let publisher = publisher(&config).await;
    let sent = events(EventKind::Impression, 1, 5_000);
    let other = publisher.clone();
    let handed_over = sent.clone();
    let publishing = tokio::spawn(async move { other.publish_events(handed_over).await });
    let queue = config.topology().impressions_queue();
    let session = ConsumerSession::connect(&config).await.unwrap();
    eventually("a first pack", async || {
        session.queue_depth(&queue).await.unwrap() > 0
    })
    .await;
    publisher.close().await;
    publisher.close().await;
    let results = publishing.await.unwrap();
    let confirmed = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(
        confirmed,
        5_000,
        "{:?}",
        results.iter().find(|result| result.is_err())
    );
    assert_eq!(
        publisher.publish_events(sent[..1].to_vec()).await,
        [Err(NotKept::Closed)]
    );
    assert!(!publisher.state().borrow().is_open());
    assert_eq!(drain(&config, &queue).await, ids(&sent));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_without_a_broker_answers_in_time_and_closes_in_time() {
    let config = config_at("amqp://127.0.0.1:1", "t-nobody");
    let deadline = std::time::Duration::from_millis(300);
    let options = PublisherOptions {
        deadline,
        waiting_bytes: 2_000,
        ..Default::default()
    };
    let publisher = Publisher::start(config, options);
    let many = events(EventKind::Click, 1, 20);
    let sends = many
        .iter()
        .map(|event| publisher.publish_events(vec![event.clone()]));
    let begun = std::time::Instant::now();
    let results = join_all(sends).await.concat();
    assert_eq!(results, [Err(NotKept::Deadline); 20]);
    assert!(begun.elapsed() < deadline * 5, "{:?}", begun.elapsed());
    let is_told = matches!(&*publisher.state().borrow(), BrokerState::Connecting { reason } if reason.contains("127.0.0.1:1"));
    assert!(is_told, "{:?}", *publisher.state().borrow());
    tokio::time::timeout(deadline * 5, publisher.close())
        .await
        .unwrap();
}
