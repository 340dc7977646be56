//! One message in a worker's hands.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use adtally_wire::celery::{TaskCall, TaskMessageError};
use adtally_wire::{Envelope, Properties};
use futures_util::future::join_all;
use lapin::Channel;
use lapin::options::{BasicAckOptions, BasicNackOptions};

use super::ledger::Ledger;
use crate::connection::within;
use crate::{BrokerError, amqp};

/// The channel its deliveries are settled on. It closes with the last of them.
pub(super) struct Desk {
    pub(super) channel: Channel,
    pub(super) queue: Arc<str>,
    ledger: Mutex<Ledger>,
}

impl Desk {
    pub(super) fn new(channel: Channel, queue: &str) -> Self {
        Self {
            channel,
            queue: queue.into(),
            ledger: Mutex::default(),
        }
    }

    fn settled(&self, tags: impl IntoIterator<Item = u64>) {
        self.ledger
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .settle(tags);
    }

    fn coverable(&self, tags: &[u64]) -> Option<u64> {
        self.ledger
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .coverable(tags)
    }

    async fn ack(&self, tag: u64, multiple: bool) -> Result<(), BrokerError> {
        let frame = self.channel.basic_ack(tag, BasicAckOptions { multiple });
        Ok(within("acknowledge", frame).await??)
    }
}

/// A message from a queue. Settling it consumes it, so it can't be settled twice; one that is
/// dropped unsettled returns to its queue when the session ends.
pub struct Delivery {
    /// The message itself.
    pub body: Vec<u8>,
    /// The queue it came from.
    pub queue: Arc<str>,
    /// The exchange it was published to; empty for the default exchange.
    pub exchange: String,
    /// The key it was published with.
    pub routing_key: String,
    /// What its publisher and the broker say about it.
    pub properties: Properties,
    /// How many deliveries before this one came back. Quorum queues count, others always say 0.
    pub delivery_count: u64,
    /// Whether it was delivered before, counted or not.
    pub redelivered: bool,
    tag: u64,
    desk: Arc<Desk>,
}

impl Delivery {
    pub(super) fn new(delivery: lapin::message::Delivery, desk: &Arc<Desk>) -> Self {
        let properties = amqp::from_amqp(&delivery.properties);
        // A header of this name on a message that never came back is its publisher's.
        let count = properties
            .headers
            .get("x-delivery-count")
            .filter(|_| delivery.redelivered)
            .and_then(|count| count.as_int());
        Self {
            body: delivery.data,
            queue: desk.queue.clone(),
            exchange: delivery.exchange.into(),
            routing_key: delivery.routing_key.into(),
            delivery_count: count
                .and_then(|count| u64::try_from(count).ok())
                .unwrap_or(0),
            properties,
            redelivered: delivery.redelivered,
            tag: delivery.delivery_tag,
            desk: desk.clone(),
        }
    }

    /// Done: the broker may forget the message.
    ///
    /// # Errors
    /// The session is over, and the message will be delivered again.
    pub async fn ack(self) -> Result<(), BrokerError> {
        let options = BasicAckOptions { multiple: false };
        self.settle(
            "acknowledge",
            self.desk.channel.basic_ack(self.tag, options),
        )
        .await
    }

    /// Not looked at: back to the queue. Brokers before 4.3 count this like a failure.
    ///
    /// # Errors
    /// The session is over, and the message will be delivered again.
    pub async fn give_back(self) -> Result<(), BrokerError> {
        let options = BasicNackOptions {
            multiple: false,
            requeue: true,
        };
        self.settle("return", self.desk.channel.basic_nack(self.tag, options))
            .await
    }

    /// What the message says about itself, to be kept.
    #[must_use]
    pub fn envelope(&self) -> Envelope {
        Envelope::new(&self.exchange, &self.routing_key, &self.properties)
    }

    /// The call of a task that the message carries.
    ///
    /// # Errors
    /// [`TaskMessageError`] says what is wrong. The message will never be of use as it is.
    pub fn task(&self) -> Result<TaskCall, TaskMessageError> {
        TaskCall::decode(&self.properties, &self.body, &self.queue)
    }

    async fn settle(
        &self,
        operation: &'static str,
        frame: impl Future<Output = lapin::Result<()>>,
    ) -> Result<(), BrokerError> {
        within(operation, frame).await??;
        self.desk.settled([self.tag]);
        Ok(())
    }
}

impl fmt::Debug for Delivery {
    /// Leaves the body out: it holds visitor data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("queue", &self.queue)
            .field("message_id", &self.properties.message_id)
            .field("message_type", &self.properties.message_type)
            .field("bytes", &self.body.len())
            .field("delivery_count", &self.delivery_count)
            .finish_non_exhaustive()
    }
}

/// Acknowledges many deliveries with as few frames as is safe.
///
/// # Errors
/// The session of at least one of them is over; which messages will be delivered again is not
/// known.
pub async fn ack_all(deliveries: Vec<Delivery>) -> Result<(), BrokerError> {
    let mut desks: Vec<(Arc<Desk>, Vec<u64>)> = Vec::new();
    for delivery in deliveries {
        match desks
            .iter_mut()
            .find(|(desk, _)| Arc::ptr_eq(desk, &delivery.desk))
        {
            Some((_, tags)) => tags.push(delivery.tag),
            None => desks.push((delivery.desk, vec![delivery.tag])),
        }
    }
    let settled = join_all(desks.into_iter().map(|(desk, tags)| ack_tags(desk, tags))).await;
    settled.into_iter().collect()
}

async fn ack_tags(desk: Arc<Desk>, mut tags: Vec<u64>) -> Result<(), BrokerError> {
    tags.sort_unstable();
    let covered = desk.coverable(&tags);
    if let Some(highest) = covered {
        desk.ack(highest, true).await?;
    }
    let single = tags
        .iter()
        .filter(|tag| covered.is_none_or(|highest| **tag > highest));
    let singles = join_all(single.map(|tag| desk.ack(*tag, false))).await;
    singles.into_iter().collect::<Result<(), _>>()?;
    desk.settled(tags);
    Ok(())
}
