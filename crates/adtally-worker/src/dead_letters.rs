//! Dead letters of what could not be processed.

use adtally_broker::Delivery;
use adtally_domain::{
    AdId, DeadLetterReason, Event, EventId, body_dead_letter_id, event_dead_letter_id,
    requeued_dead_letter_id,
};
use adtally_store::NewDeadLetter;
use adtally_wire::pack::BadEvent;
use adtally_wire::{HeaderValue, Headers};
use serde_json::Value;
use uuid::Uuid;

/// The message that bad entries of a pack came in: what is the same in the letter of each.
pub(crate) struct Origin<'a> {
    delivery: &'a Delivery,
    source: &'a str,
    headers: Value,
}

impl<'a> Origin<'a> {
    pub(crate) fn of(delivery: &'a Delivery) -> Self {
        let death = last_death(&delivery.properties.headers);
        Self {
            delivery,
            source: death.map_or(&delivery.queue, |(queue, _)| queue),
            headers: headers_of(delivery),
        }
    }

    /// The dead letter of one entry.
    pub(crate) fn letter_of(&self, bad: BadEvent) -> NewDeadLetter {
        NewDeadLetter {
            id: letter_id(self.delivery, bad.index, bad.body.as_bytes()),
            source: self.source.to_owned(),
            reason: DeadLetterReason::InvalidEvent,
            detail: bad.reason,
            body: bad.body.into_bytes(),
            headers: self.headers.clone(),
            event_id: bad.event_id.and_then(EventId::from_uuid),
            ad_id: bad.ad_id.and_then(AdId::new),
            occurred_at: bad.occurred_at,
        }
    }
}

/// The dead letter of an event that came back too often to be tried again.
pub(crate) fn letter_of_event(delivery: &Delivery, event: &Event) -> NewDeadLetter {
    let detail = format!("it came back {} times", delivery.delivery_count);
    let letter = NewDeadLetter::of_event(event, DeadLetterReason::ReturnedTooOften, detail);
    NewDeadLetter {
        id: requeued_from(delivery).unwrap_or(letter.id),
        source: delivery.queue.to_string(),
        headers: headers_of(delivery),
        ..letter
    }
}

/// The dead letter of a whole message.
///
/// The broker's own reason, such as `delivery_limit`, says more than that it could not be read.
pub(crate) fn letter_of_message(
    delivery: &Delivery,
    reason: DeadLetterReason,
    detail: &str,
) -> NewDeadLetter {
    let (source, reason) =
        last_death(&delivery.properties.headers).unwrap_or((&delivery.queue, reason));
    NewDeadLetter {
        id: letter_id(delivery, 0, &delivery.body),
        source: source.to_owned(),
        reason,
        detail: detail.to_owned(),
        body: delivery.body.clone(),
        headers: headers_of(delivery),
        event_id: None,
        ad_id: None,
        occurred_at: None,
    }
}

/// The id of the dead letter of `body`, the entry at `index` of a message or all of it. What an
/// operator put back goes to the letter it came from.
fn letter_id(delivery: &Delivery, index: usize, body: &[u8]) -> Uuid {
    match (requeued_from(delivery), name_of(delivery)) {
        (Some(letter), _) if index == 0 => letter,
        (_, Some(message)) => event_dead_letter_id(message, index),
        (_, None) => body_dead_letter_id(body),
    }
}

fn requeued_from(delivery: &Delivery) -> Option<Uuid> {
    requeued_dead_letter_id(delivery.properties.message_id.as_deref()?)
}

/// What tells the message from all others. Celery names its tasks in a header only.
fn name_of(delivery: &Delivery) -> Option<&str> {
    let task = delivery
        .properties
        .headers
        .get("id")
        .and_then(HeaderValue::as_text);
    let names = [delivery.properties.message_id.as_deref(), task];
    names.into_iter().flatten().find(|name| !name.is_empty())
}

/// The queue that gave the message up last, and why. A wait in a retry queue ends by expiry, which is
/// nothing of the kind; anything else was written by the sender, who may say what he likes.
fn last_death(headers: &Headers) -> Option<(&str, DeadLetterReason)> {
    let HeaderValue::List(deaths) = headers.get("x-death")? else {
        return None;
    };
    let HeaderValue::Table(last) = deaths.first()? else {
        return None;
    };
    let text = |name: &str| last.get(name).and_then(HeaderValue::as_text);
    let reason = DeadLetterReason::named(text("reason")?).filter(|reason| reason.is_of_broker());
    Some((text("queue")?, reason?))
}

/// What an operator needs to know of where the message came from and how to send it again.
fn headers_of(delivery: &Delivery) -> Value {
    serde_json::to_value(delivery.envelope()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn died(deaths: &[(&str, &str)]) -> Headers {
        let text = |text: &str| HeaderValue::Text(text.to_owned());
        let death = |(queue, reason): &(&str, &str)| {
            let fields = [("queue", text(queue)), ("reason", text(reason))];
            HeaderValue::Table(
                fields
                    .map(|(name, value)| (name.to_owned(), value))
                    .into_iter()
                    .collect(),
            )
        };
        let deaths = deaths.iter().map(death).collect();
        [("x-death".to_owned(), HeaderValue::List(deaths))].into()
    }

    #[test]
    fn the_brokers_last_word_counts_and_a_wait_before_a_retry_is_none() {
        assert_eq!(last_death(&Headers::new()), None);
        assert_eq!(last_death(&died(&[])), None);
        let waited = ("t.tasks.retry.2s", "expired");
        assert_eq!(last_death(&died(&[waited])), None);
        let given_up = ("t.tasks", "delivery_limit");
        let deaths = died(&[given_up, waited]);
        let death = last_death(&deaths);
        assert_eq!(death, Some(("t.tasks", DeadLetterReason::DeliveryLimit)));
    }

    #[test]
    fn a_reason_that_no_broker_gives_is_not_believed() {
        for forged in ["", "a\0b", "Rejected", "visitor-7", "too_old"] {
            assert_eq!(last_death(&died(&[("q", forged)])), None, "{forged:?}");
        }
        for reason in ["rejected", "maxlen", "delivery_limit"] {
            assert!(last_death(&died(&[("q", reason)])).is_some());
        }
    }

    #[test]
    fn a_strange_history_is_no_history() {
        for strange in [
            HeaderValue::Null,
            HeaderValue::List(vec![HeaderValue::Int(1)]),
            HeaderValue::List(vec![HeaderValue::Table(Headers::new())]),
        ] {
            let headers: Headers = [("x-death".to_owned(), strange)].into();
            assert_eq!(last_death(&headers), None);
        }
    }
}
