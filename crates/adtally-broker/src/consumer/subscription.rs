//! The messages of one queue, as they come.

use std::sync::Arc;

use futures_util::future::join_all;
use futures_util::{FutureExt, StreamExt};
use lapin::options::BasicCancelOptions;
use lapin::{Channel, Consumer};

use super::Delivery;
use super::ack_channel::AckChannel;
use crate::BrokerError;
use crate::connection::within;

/// A consumer on a channel of its own.
pub struct Subscription {
    consumer: Consumer,
    channel: Arc<AckChannel>,
    ended: bool,
}

impl Subscription {
    pub(super) fn new(channel: Channel, consumer: Consumer, queue: &str) -> Self {
        Self {
            consumer,
            channel: Arc::new(AckChannel::new(channel, queue)),
            ended: false,
        }
    }

    /// The queue subscribed to.
    #[must_use]
    pub fn queue(&self) -> &str {
        &self.channel.queue
    }

    /// The next message. `None`, now and for ever, once the subscription has ended: the
    /// connection failed, the queue was deleted, or the broker took the subscription back.
    /// May be dropped while waiting; no message is lost.
    ///
    /// # Errors
    /// Once, the reason why the subscription ends, if the broker gave one.
    pub async fn next(&mut self) -> Option<Result<Delivery, BrokerError>> {
        if self.ended {
            return None;
        }
        let item = self.consumer.next().await;
        self.take(item)
    }

    /// A message that has already arrived, without waiting. `None` means there is none now, or the
    /// subscription has ended, which [`Self::next`] then tells.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub fn try_next_ready(&mut self) -> Option<Result<Delivery, BrokerError>> {
        if self.ended {
            return None;
        }
        let item = self.consumer.next().now_or_never()?;
        self.take(item)
    }

    /// The client library ends a stream once and then leaves it pending for ever; the end is
    /// remembered here.
    fn take(
        &mut self,
        item: Option<lapin::Result<lapin::message::Delivery>>,
    ) -> Option<Result<Delivery, BrokerError>> {
        match item {
            Some(Ok(delivery)) => Some(Ok(Delivery::new(delivery, &self.channel))),
            Some(Err(error)) => {
                self.ended = true;
                Some(Err(error.into()))
            }
            None => {
                self.ended = true;
                None
            }
        }
    }

    /// Stops taking messages, and returns to the queue those that arrived but were never handed
    /// out. Deliveries already handed out can still be acknowledged. Says how many were returned.
    ///
    /// # Errors
    /// The session is over, which returns everything unacknowledged by itself.
    pub async fn cancel(mut self) -> Result<usize, BrokerError> {
        let tag = self.consumer.tag();
        let cancel = self
            .channel
            .channel
            .basic_cancel(tag, BasicCancelOptions { nowait: false });
        within("cancel a subscription", cancel).await??;
        let mut buffered = Vec::new();
        while let Some(delivery) = self.try_next_ready() {
            buffered.push(delivery?);
        }
        let returned = buffered.len();
        let returns = join_all(buffered.into_iter().map(Delivery::give_back)).await;
        returns.into_iter().collect::<Result<(), _>>()?;
        Ok(returned)
    }
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription")
            .field("queue", &self.channel.queue)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}
