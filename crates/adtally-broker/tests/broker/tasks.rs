use std::time::{Duration, Instant};

use adtally_broker::ConsumerSession;
use adtally_domain::{AggregateDay, Task, TaskMessage};
use adtally_wire::celery::TaskCall;
use lapin::BasicProperties;
use lapin::options::BasicPublishOptions;
use lapin::types::{AMQPValue, FieldTable};
use serde_json::json;
use uuid::Uuid;

use crate::harness::*;

pub(crate) fn task() -> TaskMessage {
    AggregateDay {
        day: "2026-11-22".parse().unwrap(),
    }
    .message(Uuid::from_u128(0x1234))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_arrives_on_its_queue_as_it_was_sent() {
    let config = config("task");
    let publisher = publisher(&config).await;
    publisher.publish_task(&task()).await.unwrap();
    let deliveries = take_all(&config, &config.topology().tasks_queue()).await;
    assert_eq!(deliveries.len(), 1);
    assert_eq!(deliveries[0].task(), Ok(TaskCall::from(task())));
    assert_eq!(deliveries[0].routing_key, config.topology().tasks_queue());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_sent_by_python_through_the_default_exchange_is_read() {
    let config = config("python");
    ConsumerSession::connect(&config).await.unwrap();
    let queue = config.topology().tasks_queue();
    let text = |text: &str| AMQPValue::LongString(text.into());
    let mut headers = FieldTable::default();
    headers.insert("lang".into(), text("py"));
    headers.insert("task".into(), text(AggregateDay::NAME));
    headers.insert("id".into(), text(&Uuid::from_u128(7).to_string()));
    headers.insert("eta".into(), AMQPValue::Void);
    headers.insert("retries".into(), AMQPValue::LongInt(2));
    let limits = vec![AMQPValue::Double(30.5), AMQPValue::Void];
    headers.insert("timelimit".into(), AMQPValue::FieldArray(limits.into()));
    let properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_content_encoding("utf-8".into())
        .with_delivery_mode(2)
        .with_headers(headers);
    let body = json!([["2026-11-22"], {}, {"callbacks": null, "errbacks": null}]).to_string();
    let channel = operator().await;
    let options = BasicPublishOptions::default();
    let publish = channel.basic_publish(
        "".into(),
        queue.as_str().into(),
        options,
        body.as_bytes(),
        properties,
    );
    publish.await.unwrap();

    let session = ConsumerSession::connect(&config).await.unwrap();
    let mut subscription = session.subscribe(&queue, 1).await.unwrap();
    let delivery = tokio::time::timeout(PATIENCE, subscription.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    let call = delivery.task().unwrap();
    assert_eq!(
        (call.retries(), call.message().time_limit),
        (2, Some(Duration::from_millis(30_500)))
    );
    let expected = AggregateDay {
        day: "2026-11-22".parse().unwrap(),
    };
    assert_eq!(AggregateDay::from_message(call.message()), Ok(expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_for_the_end_of_time_waits_as_long_as_it_can_and_harms_no_other() {
    let config = config("far");
    let publisher = publisher(&config).await;
    let (far, longest) = (
        TaskCall::from(task()),
        config.topology().retry_queues().pop().unwrap(),
    );
    for delay in [Duration::from_millis(315_360_000_001), Duration::MAX] {
        publisher.publish_task_after(&far, delay).await.unwrap();
    }
    publisher.publish_task(&task()).await.unwrap();
    let session = ConsumerSession::connect(&config).await.unwrap();
    assert_eq!(session.queue_depth(&longest).await, Ok(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delayed_task_comes_after_its_wait_and_not_before() {
    let config = config("delay");
    let publisher = publisher(&config).await;
    let session = ConsumerSession::connect(&config).await.unwrap();
    let queue = config.topology().tasks_queue();
    let mut subscription = session.subscribe(&queue, 1).await.unwrap();
    let delay = Duration::from_millis(700);
    let begun = Instant::now();
    let call = TaskCall::from(task());
    publisher.publish_task_after(&call, delay).await.unwrap();
    let delivery = tokio::time::timeout(PATIENCE, subscription.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    let waited = begun.elapsed();
    assert!(waited >= delay, "{waited:?}");
    assert_eq!(delivery.task(), Ok(TaskCall::from(task())));
    delivery.ack().await.unwrap();
}
