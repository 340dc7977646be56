//! An event as a client wrote it, before any judgement.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A JSON value of an event's field, read leniently: a field of the wrong type is told apart
/// later, field by field, instead of failing the whole event with a parser's message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Scalar<'a> {
    /// The field is missing or null.
    #[default]
    Absent,
    /// A text.
    Text(Cow<'a, str>),
    /// A whole number that fits 64 bits with sign.
    Integer(i64),
    /// Anything else: a fraction, a boolean, an array, an object, a larger number.
    Other,
}

impl<'a> Scalar<'a> {
    /// A text, or [`Scalar::Absent`] for `None`.
    #[must_use]
    pub fn text(text: Option<impl Into<Cow<'a, str>>>) -> Self {
        text.map_or(Self::Absent, |text| Self::Text(text.into()))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Scalar::Absent)
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Scalar::Integer(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(i64::try_from(number).map_or(Scalar::Other, Scalar::Integer))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Scalar::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Scalar::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }
}

/// An event as a client sent it. Unknown fields are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(default)]
pub struct EventInput<'a> {
    /// The ad, required: a whole number from 1 to 2^63-1.
    #[serde(borrow)]
    pub ad_id: Scalar<'a>,
    /// `impression` or `click`, required.
    #[serde(borrow)]
    pub kind: Scalar<'a>,
    /// The client's name for the event, at most 128 bytes.
    #[serde(borrow)]
    pub event_id: Scalar<'a>,
    /// When it happened, RFC 3339 with offset.
    #[serde(borrow)]
    pub occurred_at: Scalar<'a>,
    /// The event id of the impression a click belongs to.
    #[serde(borrow)]
    pub impression_id: Scalar<'a>,
    /// The ad server's name for the visitor, at most 128 bytes.
    #[serde(borrow)]
    pub visitor_id: Scalar<'a>,
    /// The visitor's IPv4 or IPv6 address.
    #[serde(borrow)]
    pub ip: Scalar<'a>,
    /// The visitor's browser, at most 512 bytes.
    #[serde(borrow)]
    pub user_agent: Scalar<'a>,
    /// The page the ad was on, at most 1,024 bytes.
    #[serde(borrow)]
    pub referer: Scalar<'a>,
    /// The place on the page, at most 128 bytes.
    #[serde(borrow)]
    pub placement: Scalar<'a>,
}
