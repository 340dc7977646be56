//! RabbitMQ's own limit: the least code that publishes with confirms to a quorum queue, one message
//! at a time or many.

use std::time::{Duration, Instant};

use anyhow::bail;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};

use crate::lab::Lab;
use crate::latencies::Latencies;

/// The delivery mode of a message that survives a restart.
const PERSISTENT: u8 = 2;

/// What was confirmed.
pub(crate) struct Confirmed {
    pub(crate) messages: u64,
    pub(crate) elapsed: Duration,
    /// From a message's due time to its confirm.
    pub(crate) latencies: Latencies,
}

/// Publishes `body` to a quorum queue of its own for `duration`: `rate` messages a second, or with no
/// rate as many as `window` unconfirmed ones allow.
pub(crate) async fn publish(
    lab: &Lab,
    queue: &str,
    body: &[u8],
    window: usize,
    rate: Option<f64>,
    duration: Duration,
) -> anyhow::Result<Confirmed> {
    let connection =
        Connection::connect(&lab.rabbitmq.url(), ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let mut arguments = FieldTable::default();
    arguments.insert(
        "x-queue-type".into(),
        AMQPValue::LongString("quorum".into()),
    );
    let durable = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };
    channel
        .queue_declare(queue.into(), durable, arguments)
        .await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    let confirmed = run(&channel, queue, body, window, rate, duration).await?;
    channel
        .queue_delete(queue.into(), Default::default())
        .await?;
    connection.close(200, "done".into()).await?;
    Ok(confirmed)
}

async fn run(
    channel: &Channel,
    queue: &str,
    body: &[u8],
    window: usize,
    rate: Option<f64>,
    duration: Duration,
) -> anyhow::Result<Confirmed> {
    let started = Instant::now();
    let mut flying = FuturesUnordered::new();
    let mut latencies = Latencies::default();
    let mut sent = 0_u32;
    loop {
        let now = started.elapsed();
        let due = rate.map_or(now, |rate| Duration::from_secs_f64(f64::from(sent) / rate));
        if due < duration && due <= now && flying.len() < window {
            flying.push(send(channel, queue, body, started, due));
            sent += 1;
        } else if due >= duration && flying.is_empty() {
            break;
        } else {
            tokio::select! {
                Some(confirmed) = flying.next() => {
                    let (due, latency) = confirmed?;
                    latencies.record(due, latency)?;
                }
                () = tokio::time::sleep(due.saturating_sub(now)), if due < duration && flying.len() < window => {}
            }
        }
    }
    Ok(Confirmed {
        messages: sent.into(),
        elapsed: started.elapsed(),
        latencies,
    })
}

/// When the message was due, and how much later it was confirmed.
async fn send(
    channel: &Channel,
    queue: &str,
    body: &[u8],
    started: Instant,
    due: Duration,
) -> anyhow::Result<(Duration, Duration)> {
    let properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
    let options = BasicPublishOptions::default();
    let confirm = channel
        .basic_publish("".into(), queue.into(), options, body, properties)
        .await?
        .await?;
    match confirm {
        Confirmation::Ack(_) => Ok((due, started.elapsed().saturating_sub(due))),
        other => bail!("the broker answered {other:?}"),
    }
}
