//! The headers of a message, in types of our own.

use std::collections::BTreeMap;

use lapin::types::{AMQPValue, FieldTable};
use serde::{Deserialize, Serialize};

/// A message's headers by name.
pub type Headers = BTreeMap<String, HeaderValue>;

/// The value of a header. Plain JSON in dead letters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum HeaderValue {
    /// No value.
    Null,
    /// A truth value.
    Bool(bool),
    /// Any integer type.
    Int(i64),
    /// Any floating-point type, or a decimal.
    Float(f64),
    /// A text. Bytes that are not UTF-8 became U+FFFD.
    Text(String),
    /// A list.
    List(Vec<HeaderValue>),
    /// Headers within a header.
    Table(Headers),
}

impl HeaderValue {
    /// The text, if it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The integer, if it is one.
    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }
}

impl From<&AMQPValue> for HeaderValue {
    fn from(value: &AMQPValue) -> Self {
        match value {
            AMQPValue::Void => Self::Null,
            AMQPValue::Boolean(truth) => Self::Bool(*truth),
            AMQPValue::ShortShortInt(number) => Self::Int((*number).into()),
            AMQPValue::ShortShortUInt(number) => Self::Int((*number).into()),
            AMQPValue::ShortInt(number) => Self::Int((*number).into()),
            AMQPValue::ShortUInt(number) => Self::Int((*number).into()),
            AMQPValue::LongInt(number) => Self::Int((*number).into()),
            AMQPValue::LongUInt(number) => Self::Int((*number).into()),
            AMQPValue::LongLongInt(number) => Self::Int(*number),
            AMQPValue::Timestamp(seconds) => Self::Int(i64::try_from(*seconds).unwrap_or(i64::MAX)),
            AMQPValue::Float(number) => Self::Float((*number).into()),
            AMQPValue::Double(number) => Self::Float(*number),
            AMQPValue::DecimalValue(decimal) => {
                Self::Float(f64::from(decimal.value) / 10_f64.powi(decimal.scale.into()))
            }
            AMQPValue::ShortString(text) => Self::Text(text.to_string()),
            AMQPValue::LongString(text) => Self::Text(text.to_string()),
            AMQPValue::ByteArray(bytes) => {
                Self::Text(String::from_utf8_lossy(bytes.as_slice()).into_owned())
            }
            AMQPValue::FieldArray(values) => {
                Self::List(values.as_slice().iter().map(Self::from).collect())
            }
            AMQPValue::FieldTable(table) => Self::Table(headers(table)),
        }
    }
}

impl From<&HeaderValue> for AMQPValue {
    fn from(value: &HeaderValue) -> Self {
        match value {
            HeaderValue::Null => Self::Void,
            HeaderValue::Bool(truth) => Self::Boolean(*truth),
            HeaderValue::Int(number) => Self::LongLongInt(*number),
            HeaderValue::Float(number) => Self::Double(*number),
            // RabbitMQ reads the short type as a number.
            HeaderValue::Text(text) => Self::LongString(text.as_bytes().into()),
            HeaderValue::List(values) => {
                Self::FieldArray(values.iter().map(Self::from).collect::<Vec<_>>().into())
            }
            HeaderValue::Table(headers) => Self::FieldTable(table(headers)),
        }
    }
}

pub(crate) fn headers(table: &FieldTable) -> Headers {
    table
        .into_iter()
        .map(|(name, value)| (name.to_string(), value.into()))
        .collect()
}

pub(crate) fn table(headers: &Headers) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in headers {
        table.insert(crate::connection::short(name), value.into());
    }
    table
}

/// All headers but those called one of `names`.
pub(crate) fn without(headers: &Headers, names: &[&str]) -> Headers {
    let others = headers
        .iter()
        .filter(|(name, _)| !names.contains(&name.as_str()));
    others
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_survive_the_way_to_the_broker_and_back() {
        let headers: Headers = [
            ("null", HeaderValue::Null),
            (
                "list",
                HeaderValue::List(vec![HeaderValue::Int(-1), HeaderValue::Float(2.5)]),
            ),
            (
                "table",
                HeaderValue::Table([("t".to_owned(), HeaderValue::Bool(true))].into()),
            ),
            ("text", HeaderValue::Text("é".to_owned())),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        assert_eq!(super::headers(&table(&headers)), headers);
    }

    #[test]
    fn no_text_is_sent_as_amqps_short_string() {
        let value = AMQPValue::from(&HeaderValue::Text("x".to_owned()));
        assert!(matches!(value, AMQPValue::LongString(_)), "{value:?}");
    }

    #[test]
    fn headers_show_as_plain_json() {
        let headers: Headers = [(
            "x-death".to_owned(),
            HeaderValue::List(vec![HeaderValue::Int(3)]),
        )]
        .into();
        assert_eq!(
            serde_json::to_string(&headers).unwrap(),
            r#"{"x-death":[3]}"#
        );
    }
}
