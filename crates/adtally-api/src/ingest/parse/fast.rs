//! The fast path: a body in which every item is an event, read in one pass.

use std::fmt;

use adtally_domain::EventInput;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::MAX_EVENTS;

/// The events of a JSON body; `None` when anything about it is unusual. Such a body is read
/// item by item.
pub(super) fn events(body: &[u8]) -> Option<Vec<EventInput<'_>>> {
    let text = std::str::from_utf8(body).ok()?;
    let Events(events) = serde_json::from_str(text).ok()?;
    Some(events)
}

/// One event, or an array of at most [`MAX_EVENTS`].
struct Events<'a>(Vec<EventInput<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Events<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EventsVisitor)
    }
}

struct EventsVisitor;

impl<'de> Visitor<'de> for EventsVisitor {
    type Value = Events<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("events")
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Self::Value, A::Error> {
        let event = EventInput::deserialize(MapAccessDeserializer::new(fields))?;
        Ok(Events(vec![event]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let mut events = Vec::new();
        while let Some(One(event)) = array.next_element()? {
            if events.len() == MAX_EVENTS {
                return Err(A::Error::custom("too many"));
            }
            events.push(event);
        }
        Ok(Events(events))
    }
}

/// An event written as an object. By itself serde also takes an array of the fields' values.
struct One<'a>(EventInput<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for One<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneVisitor)
    }
}

struct OneVisitor;

impl<'de> Visitor<'de> for OneVisitor {
    type Value = One<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Self::Value, A::Error> {
        EventInput::deserialize(MapAccessDeserializer::new(fields)).map(One)
    }
}
