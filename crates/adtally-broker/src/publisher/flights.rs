//! Messages between their publish and their confirm.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use lapin::options::BasicPublishOptions;
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation};
use tokio::time::Instant;

use super::shipment::Shipment;
use crate::BrokerError;

/// Waits before a refused message is tried again. A quorum queue that changes its leader refuses
/// for a moment; a full queue goes on refusing.
const NACK_WAITS: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(300)];

/// How a flight ended.
pub(super) enum Landing {
    Confirmed,
    Nacked,
    /// The channel is gone; whether the broker has the message is not known.
    Lost(BrokerError),
}

/// All messages in flight on one channel.
///
/// They are polled by one task only. That is what keeps confirms with their messages: the client
/// numbers a message in one step and queues its frames in another, and the broker counts frames.
#[derive(Default)]
pub(super) struct Flights {
    flying: FuturesUnordered<BoxFuture<'static, (u64, Landing)>>,
    /// What is in flight since when, apart from the futures: these are dropped with their connection.
    shipments: BTreeMap<u64, (Shipment, Instant)>,
    launched: u64,
}

impl Flights {
    pub(super) fn is_empty(&self) -> bool {
        self.shipments.is_empty()
    }

    /// Sends a message; the number of its flight.
    pub(super) fn launch(&mut self, channel: &Channel, shipment: Shipment, now: Instant) -> u64 {
        let flight = Flight {
            channel: channel.clone(),
            exchange: shipment.exchange.clone(),
            routing_key: shipment.routing_key.clone(),
            properties: shipment.properties.clone(),
            body: shipment.body.clone(),
        };
        let number = self.launched;
        self.launched += 1;
        self.shipments.insert(number, (shipment, now));
        self.flying
            .push(Box::pin(async move { (number, flight.fly().await) }));
        number
    }

    /// The next flight whose end is known; pending when nothing is in flight. May be dropped.
    pub(super) async fn land(&mut self) -> (u64, Landing) {
        match self.flying.next().await {
            Some(landed) => landed,
            None => std::future::pending().await,
        }
    }

    /// The message of a flight that has ended well or badly, but not in doubt, and since when it flew.
    pub(super) fn unload(&mut self, number: u64) -> Option<(Shipment, Instant)> {
        self.shipments.remove(&number)
    }

    pub(super) fn shipments(&mut self) -> impl Iterator<Item = &mut Shipment> {
        self.shipments.values_mut().map(|(shipment, _)| shipment)
    }

    /// Everything still in flight, oldest first.
    pub(super) fn into_unconfirmed(self) -> Vec<Shipment> {
        let shipments = self.shipments.into_values();
        shipments.map(|(shipment, _)| shipment).collect()
    }
}

struct Flight {
    channel: Channel,
    exchange: ShortString,
    routing_key: ShortString,
    properties: BasicProperties,
    body: Arc<Vec<u8>>,
}

impl Flight {
    async fn fly(self) -> Landing {
        let mut waits = NACK_WAITS.into_iter();
        loop {
            match self.publish().await {
                Ok(Confirmation::Ack(_)) => return Landing::Confirmed,
                Ok(Confirmation::Nack(_)) => match waits.next() {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => return Landing::Nacked,
                },
                Ok(Confirmation::NotRequested) => {
                    let reason = "the channel does not confirm".to_owned();
                    return Landing::Lost(BrokerError::SessionOver(reason));
                }
                Err(error) => return Landing::Lost(error.into()),
            }
        }
    }

    /// Not `mandatory`: the client can't tell which message a returned one is. What finds no
    /// queue goes through the alternate exchange to the unrouted queue.
    async fn publish(&self) -> lapin::Result<Confirmation> {
        let options = BasicPublishOptions {
            mandatory: false,
            immediate: false,
        };
        let (exchange, key) = (self.exchange.clone(), self.routing_key.clone());
        let properties = self.properties.clone();
        self.channel
            .basic_publish(exchange, key, options, &self.body, properties)
            .await?
            .await
    }
}
