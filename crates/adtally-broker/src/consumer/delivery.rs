//! One message that was delivered and is not acknowledged yet.

use std::fmt;
use std::sync::Arc;

use adtally_wire::celery::{TaskCall, TaskMessageError};
use adtally_wire::{Envelope, Properties};

use super::ack_channel::AckChannel;
use crate::{BrokerError, amqp};

/// A message from a queue. An ack or a requeue consumes it, so it gets only one. The broker puts a
/// delivery that is dropped without either back when the session ends.
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
    channel: Arc<AckChannel>,
}

impl Delivery {
    pub(super) fn new(delivery: lapin::message::Delivery, channel: &Arc<AckChannel>) -> Self {
        let properties = amqp::from_amqp(&delivery.properties);
        // A header of this name on a message that never came back is its publisher's.
        let count = properties
            .headers
            .get("x-delivery-count")
            .filter(|_| delivery.redelivered)
            .and_then(|count| count.as_int());
        Self {
            body: delivery.data,
            queue: channel.queue.clone(),
            exchange: delivery.exchange.into(),
            routing_key: delivery.routing_key.into(),
            delivery_count: count
                .and_then(|count| u64::try_from(count).ok())
                .unwrap_or(0),
            properties,
            redelivered: delivery.redelivered,
            tag: delivery.delivery_tag,
            channel: channel.clone(),
        }
    }

    /// Done: the broker may forget the message.
    ///
    /// # Errors
    /// The session is over, and the message will be delivered again.
    pub async fn ack(self) -> Result<(), BrokerError> {
        self.channel.ack(self.tag).await
    }

    /// Not looked at: back to the queue. Brokers before 4.3 count this like a failure.
    ///
    /// # Errors
    /// The session is over, and the message will be delivered again.
    pub async fn give_back(self) -> Result<(), BrokerError> {
        self.channel.requeue(self.tag).await
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

    /// The channel it came on, and its tag there.
    pub(super) fn into_tag(self) -> (Arc<AckChannel>, u64) {
        (self.channel, self.tag)
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
