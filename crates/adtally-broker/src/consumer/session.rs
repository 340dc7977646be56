//! A connection that only consumes.

use lapin::options::{BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions};
use lapin::types::FieldTable;

use super::subscription::Subscription;
use crate::connection::{Link, short};
use crate::topology::ensure;
use crate::{BrokerConfig, BrokerError};

/// A queue as it is now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueState {
    /// Messages that wait, unacknowledged ones not counted.
    pub messages: u32,
    /// Who takes messages from it.
    pub consumers: u32,
}

/// One connection to take messages from. It does not reconnect: when a subscription ends, drop
/// the session with everything made on it and open a new one, after a [`crate::Backoff`].
pub struct ConsumerSession {
    link: Link,
}

impl ConsumerSession {
    /// Connects to the first broker that answers, 5 s for each URL, and makes sure that our
    /// queues are there.
    ///
    /// # Errors
    /// The failure of the last URL, or an object that is missing and may not be made.
    pub async fn connect(config: &BrokerConfig) -> Result<Self, BrokerError> {
        let link = Link::open(config, 0).await?;
        ensure(&link, config).await?;
        Ok(Self { link })
    }

    /// Starts to take messages from `queue`, at most `prefetch` (at least 1) unacknowledged at a time.
    ///
    /// # Errors
    /// The session is over, or the queue does not exist or may not be read.
    pub async fn subscribe(&self, queue: &str, prefetch: u16) -> Result<Subscription, BrokerError> {
        let channel = self.link.channel().await?;
        // Per consumer: quorum queues refuse the other kind. Never 0, which means no bound.
        let qos = channel.basic_qos(prefetch.max(1), BasicQosOptions { global: false });
        self.link.call("set the prefetch", qos).await??;
        let options = BasicConsumeOptions {
            no_local: false,
            no_ack: false,
            exclusive: false,
            nowait: false,
        };
        let consume =
            channel.basic_consume(short(queue), short(""), options, FieldTable::default());
        let consumer = self.link.call("subscribe", consume).await??;
        Ok(Subscription::new(channel, consumer, queue))
    }

    /// How many messages wait in `queue`, unacknowledged ones not counted.
    ///
    /// # Errors
    /// The session is over, or the queue does not exist.
    pub async fn queue_depth(&self, queue: &str) -> Result<u32, BrokerError> {
        Ok(self.queue_state(queue).await?.messages)
    }

    /// What waits in `queue` and who takes from it.
    ///
    /// # Errors
    /// The session is over, or the queue does not exist.
    pub async fn queue_state(&self, queue: &str) -> Result<QueueState, BrokerError> {
        let channel = self.link.channel().await?;
        let options = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let declare = channel.queue_declare(short(queue), options, FieldTable::default());
        let queue = self.link.call("look at a queue", declare).await??;
        Ok(QueueState {
            messages: queue.message_count(),
            consumers: queue.consumer_count(),
        })
    }

    /// Whether the connection stands, as far as is known.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.link.is_connected()
    }

    /// Says goodbye. Unacknowledged deliveries return to their queues.
    pub async fn close(&self) {
        self.link.close().await;
    }
}

impl std::fmt::Debug for ConsumerSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConsumerSession")
            .field("open", &self.is_open())
            .finish()
    }
}
