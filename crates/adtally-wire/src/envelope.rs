//! What a message says about itself, to be kept and sent once more.

use serde::{Deserialize, Serialize};

use crate::headers::of_the_sender;
use crate::{Headers, Properties};

/// Everything about a message but its body. Dead letters keep it as JSON.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Envelope {
    /// The exchange it was published to; empty for the default exchange.
    pub exchange: String,
    /// The key it was published with.
    pub routing_key: String,
    /// The name its publisher gave it.
    pub message_id: Option<String>,
    /// The `type` property.
    #[serde(rename = "type")]
    pub message_type: Option<String>,
    /// The format of the body.
    pub content_type: Option<String>,
    /// The encoding of the body.
    pub content_encoding: Option<String>,
    /// Everything else its publisher and the broker said about it.
    pub headers: Headers,
}

impl Envelope {
    /// The envelope of a message with these properties.
    #[must_use]
    pub fn new(exchange: &str, routing_key: &str, properties: &Properties) -> Self {
        Self {
            exchange: exchange.to_owned(),
            routing_key: routing_key.to_owned(),
            message_id: properties.message_id.clone(),
            message_type: properties.message_type.clone(),
            content_type: properties.content_type.clone(),
            content_encoding: properties.content_encoding.clone(),
            headers: properties.headers.clone(),
        }
    }

    /// The properties of the message as if it were new: what the broker noted on it is left out.
    #[must_use]
    pub fn properties(&self) -> Properties {
        Properties {
            message_id: self.message_id.clone(),
            message_type: self.message_type.clone(),
            content_type: self.content_type.clone(),
            content_encoding: self.content_encoding.clone(),
            headers: of_the_sender(&self.headers),
            ..Properties::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_envelope_is_read_back_from_its_json_and_from_less() {
        let kept = json!({
            "exchange": "t.tasks", "routing_key": "t.tasks", "message_id": null, "type": "x",
            "content_type": "application/json", "content_encoding": "utf-8",
            "headers": {"n": null, "retries": 7, "f": 2.5, "l": [true, {"deep": ["é"]}]},
        });
        let envelope: Envelope = serde_json::from_value(kept.clone()).unwrap();
        assert_eq!(serde_json::to_value(&envelope).unwrap(), kept);
        let nothing: Envelope = serde_json::from_value(json!({})).unwrap();
        assert_eq!(nothing, Envelope::default());
    }

    #[test]
    fn a_message_that_is_sent_once_more_forgets_how_it_died() {
        let headers = json!({"id": "a", "x-death": [{"count": 1}], "x-delivery-count": 51,
                             "x-first-death-queue": "q", "x-own": 1});
        let headers: Headers = serde_json::from_value(headers).unwrap();
        let envelope = Envelope {
            headers,
            ..Envelope::default()
        };
        let names: Vec<_> = envelope.properties().headers.into_keys().collect();
        assert_eq!(names, ["id", "x-own"]);
    }
}
