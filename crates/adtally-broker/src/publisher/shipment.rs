//! One message on its way, with all who wait for its confirm.

use std::sync::Arc;
use std::time::Duration;

use adtally_domain::EventKind;
use adtally_wire::celery::{EncodedTask, TaskCall};
use adtally_wire::{Envelope, Properties, pack};
use lapin::BasicProperties;
use lapin::types::ShortString;
use uuid::Uuid;

use super::handover::{Claim, answer_all};
use crate::amqp::to_amqp;
use crate::connection::short;
use crate::topology::{event_retry_key, event_routing_key};
use crate::{Delivery, NotKept, Route};

const PERSISTENT: u8 = 2;

/// The headers in which the broker counts how often a message came back.
const RETURNS: [&str; 2] = ["x-delivery-count", "x-acquired-count"];

/// A finished message. Sent again after a lost connection it is the same message, id and all.
#[derive(Debug)]
pub(super) struct Shipment {
    pub(super) exchange: ShortString,
    pub(super) routing_key: ShortString,
    pub(super) properties: BasicProperties,
    pub(super) body: Arc<Vec<u8>>,
    pub(super) claims: Vec<Claim>,
    /// The kind of its events, if it is a pack.
    pub(super) kind: Option<EventKind>,
    /// How many events it holds, if it is a pack.
    pub(super) events: usize,
    /// The next round of packs waits for it.
    pub(super) is_of_round: bool,
}

impl Shipment {
    pub(super) fn pack(body: Vec<u8>, kind: EventKind, exchange: &str, id: Uuid) -> Self {
        let properties = BasicProperties::default()
            .with_content_type(short("application/json"))
            .with_delivery_mode(PERSISTENT)
            .with_message_id(short(
                id.hyphenated().encode_lower(&mut Uuid::encode_buffer()),
            ))
            .with_type(short(pack::MESSAGE_TYPE))
            .with_app_id(short("adtally"));
        Self {
            exchange: short(exchange),
            routing_key: short(event_routing_key(kind)),
            properties,
            body: Arc::new(body),
            claims: Vec::new(),
            kind: Some(kind),
            events: 0,
            is_of_round: false,
        }
    }

    pub(super) fn task(call: &TaskCall, exchange: &str, routing_key: &str) -> Self {
        let EncodedTask {
            mut properties,
            body,
        } = call.encode();
        properties.delivery_mode = Some(PERSISTENT);
        // RabbitMQ closes the channel of whoever sends in another user's name.
        properties.user_id = None;
        // These queues have had their copy.
        properties.headers.remove("CC");
        // Celery gives no name, and our dead letters are told apart by it.
        if properties.message_id.as_deref().is_none_or(str::is_empty) {
            properties.message_id = Some(call.id().to_string());
        }
        Self {
            exchange: short(exchange),
            routing_key: short(routing_key),
            properties: to_amqp(&properties),
            body: Arc::new(body),
            claims: Vec::new(),
            kind: None,
            events: 0,
            is_of_round: false,
        }
    }

    /// A message that was delivered, as if it had never come back. How it died before stays with it:
    /// that says more than anything else of why it is where it is.
    pub(super) fn again(delivery: &Delivery, exchange: &str) -> Self {
        let said = &delivery.properties;
        let mut headers = said.headers.clone();
        headers.retain(|name, _| !RETURNS.contains(&name.as_str()));
        let properties = Properties {
            headers,
            delivery_mode: Some(PERSISTENT),
            message_id: said.message_id.clone(),
            message_type: said.message_type.clone(),
            content_type: said.content_type.clone(),
            content_encoding: said.content_encoding.clone(),
            ..Properties::default()
        };
        Self {
            exchange: short(exchange),
            routing_key: short(&delivery.routing_key),
            properties: to_amqp(&properties),
            body: Arc::new(delivery.body.clone()),
            claims: Vec::new(),
            kind: None,
            events: 0,
            is_of_round: false,
        }
    }

    /// A message that was kept, as if it were new.
    pub(super) fn kept(route: &Route, envelope: &Envelope, body: Vec<u8>) -> Self {
        Self {
            exchange: short(&route.exchange),
            routing_key: short(&route.routing_key),
            properties: to_amqp(&envelope.properties()).with_delivery_mode(PERSISTENT),
            body: Arc::new(body),
            claims: Vec::new(),
            kind: None,
            events: 0,
            is_of_round: false,
        }
    }

    /// A message for nobody: the broker confirms it and drops it.
    pub(super) fn probe(routing_key: &str) -> Self {
        Self {
            exchange: short(""),
            routing_key: short(routing_key),
            properties: BasicProperties::default(),
            body: Arc::default(),
            claims: Vec::new(),
            kind: None,
            events: 0,
            is_of_round: false,
        }
    }

    /// Sends a pack to where packs wait before they come to their queue.
    pub(super) fn waiting(mut self) -> Self {
        if let Some(kind) = self.kind {
            self.routing_key = short(event_retry_key(kind));
        }
        self
    }

    /// Lets the message leave its queue by itself after `wait`.
    pub(super) fn expiring(mut self, wait: Duration) -> Self {
        self.properties = self
            .properties
            .with_expiration(short(&wait.as_millis().to_string()));
        self
    }

    pub(super) fn claimed(mut self, claim: Claim) -> Self {
        self.claims.push(claim);
        self
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.claims.iter().all(Claim::is_abandoned)
    }

    /// Tells everybody who waits, and owes nothing more.
    pub(super) fn answer(&mut self, result: Result<(), NotKept>) {
        answer_all(std::mem::take(&mut self.claims), result);
    }
}
