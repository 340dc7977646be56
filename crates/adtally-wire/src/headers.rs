//! The headers of a message, in types of our own.

use std::collections::BTreeMap;

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

/// What begins the names of the headers in which the broker keeps count of a message.
const OF_THE_BROKER: [&str; 5] = [
    "x-death",
    "x-first-death",
    "x-last-death",
    "x-delivery-count",
    "x-acquired-count",
];

/// The headers without those of the broker.
pub(crate) fn of_the_sender(headers: &Headers) -> Headers {
    let is_of_the_broker = |name: &str| OF_THE_BROKER.iter().any(|start| name.starts_with(start));
    let own = headers.iter().filter(|(name, _)| !is_of_the_broker(name));
    own.map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
