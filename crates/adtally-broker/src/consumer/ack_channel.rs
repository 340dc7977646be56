//! The channel on which deliveries are acknowledged.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::join_all;
use lapin::Channel;
use lapin::options::{BasicAckOptions, BasicNackOptions};

use super::Delivery;
use super::ack_tracker::AckTracker;
use crate::BrokerError;
use crate::connection::within;

/// The channel of one consumer. It closes with the last of its deliveries.
pub(super) struct AckChannel {
    pub(super) channel: Channel,
    pub(super) queue: Arc<str>,
    tracker: Mutex<AckTracker>,
}

impl AckChannel {
    pub(super) fn new(channel: Channel, queue: &str) -> Self {
        Self {
            channel,
            queue: queue.into(),
            tracker: Mutex::default(),
        }
    }

    pub(super) async fn ack(&self, tag: u64) -> Result<(), BrokerError> {
        self.send_ack(tag, false).await?;
        self.tracked(|tracker| tracker.record([tag]));
        Ok(())
    }

    pub(super) async fn requeue(&self, tag: u64) -> Result<(), BrokerError> {
        let options = BasicNackOptions {
            multiple: false,
            requeue: true,
        };
        within("return", self.channel.basic_nack(tag, options)).await??;
        self.tracked(|tracker| tracker.record([tag]));
        Ok(())
    }

    async fn ack_many(self: Arc<Self>, mut tags: Vec<u64>) -> Result<(), BrokerError> {
        tags.sort_unstable();
        let together = self.tracked(|tracker| tracker.highest_multiple_ack(&tags));
        if let Some(highest) = together {
            self.send_ack(highest, true).await?;
        }
        let single = tags
            .iter()
            .filter(|tag| together.is_none_or(|highest| **tag > highest));
        let singles = join_all(single.map(|tag| self.send_ack(*tag, false))).await;
        singles.into_iter().collect::<Result<(), _>>()?;
        self.tracked(|tracker| tracker.record(tags));
        Ok(())
    }

    async fn send_ack(&self, tag: u64, multiple: bool) -> Result<(), BrokerError> {
        let frame = self.channel.basic_ack(tag, BasicAckOptions { multiple });
        Ok(within("acknowledge", frame).await??)
    }

    fn tracked<T>(&self, work: impl FnOnce(&mut AckTracker) -> T) -> T {
        work(&mut self.tracker.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Acknowledges many deliveries with as few frames as is safe.
///
/// # Errors
/// The session of at least one of them is over; which messages will be delivered again is not
/// known.
pub async fn ack_all(deliveries: Vec<Delivery>) -> Result<(), BrokerError> {
    let mut channels: Vec<(Arc<AckChannel>, Vec<u64>)> = Vec::new();
    for (channel, tag) in deliveries.into_iter().map(Delivery::into_tag) {
        match channels
            .iter_mut()
            .find(|(known, _)| Arc::ptr_eq(known, &channel))
        {
            Some((_, tags)) => tags.push(tag),
            None => channels.push((channel, vec![tag])),
        }
    }
    let acks = channels
        .into_iter()
        .map(|(channel, tags)| channel.ack_many(tags));
    join_all(acks).await.into_iter().collect()
}
