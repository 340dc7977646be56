//! Dead letters of what could not be read.

use adtally_broker::Delivery;
use adtally_broker::pack::BadEvent;
use adtally_domain::{AdId, EventId, body_dead_letter_id, event_dead_letter_id};
use adtally_store::NewDeadLetter;
use serde_json::{Value, json};

/// The dead letter of one entry of a pack.
pub(super) fn letter_of_entry(delivery: &Delivery, bad: &BadEvent) -> NewDeadLetter {
    let id = match &delivery.message_id {
        Some(message) => event_dead_letter_id(message, bad.index),
        None => body_dead_letter_id(bad.body.as_bytes()),
    };
    NewDeadLetter {
        id,
        reason: "invalid_event".to_owned(),
        detail: bad.reason.clone(),
        body: bad.body.clone().into_bytes(),
        event_id: bad.event_id.and_then(EventId::from_uuid),
        ad_id: bad.ad_id.and_then(AdId::new),
        occurred_at: bad.occurred_at,
        ..letter_of_message(delivery, "", "")
    }
}

/// The dead letter of a whole message.
///
/// The broker's own reason, such as `delivery_limit`, says more than that it could not be read.
pub(crate) fn letter_of_message(delivery: &Delivery, reason: &str, detail: &str) -> NewDeadLetter {
    let text = |name: &str| delivery.headers.get(name).and_then(|value| value.as_text());
    NewDeadLetter {
        // A task is named by its id: many have the same body, such as no arguments at all.
        id: match delivery.message_id.as_deref().or_else(|| text("id")) {
            Some(message) => event_dead_letter_id(message, 0),
            None => body_dead_letter_id(&delivery.body),
        },
        source: text("x-first-death-queue")
            .unwrap_or(&delivery.queue)
            .to_owned(),
        reason: text("x-first-death-reason").unwrap_or(reason).to_owned(),
        detail: detail.to_owned(),
        body: delivery.body.clone(),
        headers: headers_of(delivery),
        event_id: None,
        ad_id: None,
        occurred_at: None,
    }
}

/// What an operator needs to know of where the message came from and how to send it again.
fn headers_of(delivery: &Delivery) -> Value {
    json!({
        "exchange": delivery.exchange,
        "routing_key": delivery.routing_key,
        "message_id": delivery.message_id,
        "type": delivery.message_type,
        "content_type": delivery.content_type,
        "content_encoding": delivery.content_encoding,
        "headers": delivery.headers,
    })
}
