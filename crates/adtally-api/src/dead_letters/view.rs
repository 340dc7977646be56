//! Dead letters as JSON.

use adtally_store::{DeadLetter, DeadLetterSummary};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

/// A dead letter without its body.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = DeadLetter)]
pub struct DeadLetterRecord {
    /// Its id. A message that fails again keeps it.
    #[schema(value_type = String, format = "uuid")]
    pub id: Uuid,
    /// What is to become of it: `new`, `requeued` or `discarded`.
    #[schema(value_type = String, pattern = "^(new|requeued|discarded)$")]
    pub state: &'static str,
    /// The stable name of the reason.
    #[schema(example = "invalid_event")]
    pub reason: String,
    /// The reason in words.
    pub detail: String,
    /// Where it was found: a queue, or `store`.
    pub source: String,
    /// The event's id, when it could be read.
    #[schema(value_type = Option<String>, format = "uuid")]
    pub event_id: Option<Uuid>,
    /// The event's ad, when it could be read.
    pub ad_id: Option<i64>,
    /// The event's time, when it could be read.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub occurred_at: Option<String>,
    /// When it was first found.
    #[schema(value_type = String, format = DateTime)]
    pub first_seen: String,
    /// When it was last put back on its queue.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub requeued_at: Option<String>,
    /// Bytes of its body.
    pub body_bytes: u64,
}

/// A dead letter with everything that was kept.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct WholeDeadLetter {
    /// All but the body.
    #[serde(flatten)]
    pub record: DeadLetterRecord,
    /// What the message said about itself, an object.
    #[schema(value_type = Object)]
    pub headers: Value,
    /// The event or message; null when it is not UTF-8.
    pub body: Option<String>,
    /// The event or message in hexadecimal digits; null when it is UTF-8.
    pub body_hex: Option<String>,
}

impl From<&DeadLetterSummary> for DeadLetterRecord {
    fn from(letter: &DeadLetterSummary) -> Self {
        Self {
            id: letter.id,
            state: letter.state.as_str(),
            reason: letter.reason.clone(),
            detail: letter.detail.clone(),
            source: letter.source.clone(),
            event_id: letter.event_id.map(|id| id.as_uuid()),
            ad_id: letter.ad_id.map(|ad| ad.get()),
            occurred_at: letter.occurred_at.map(|time| time.to_string()),
            first_seen: letter.first_seen.to_string(),
            requeued_at: letter.requeued_at.map(|time| time.to_string()),
            body_bytes: letter.body_bytes,
        }
    }
}

impl From<DeadLetter> for WholeDeadLetter {
    fn from(kept: DeadLetter) -> Self {
        let letter = kept.letter;
        let body_bytes = u64::try_from(letter.body.len()).unwrap_or(u64::MAX);
        let (body, body_hex) = match String::from_utf8(letter.body) {
            Ok(text) => (Some(text), None),
            Err(error) => (None, Some(hex(error.as_bytes()))),
        };
        Self {
            record: DeadLetterRecord {
                id: letter.id,
                state: kept.state.as_str(),
                reason: letter.reason,
                detail: letter.detail,
                source: letter.source,
                event_id: letter.event_id.map(|id| id.as_uuid()),
                ad_id: letter.ad_id.map(|ad| ad.get()),
                occurred_at: letter.occurred_at.map(|time| time.to_string()),
                first_seen: kept.first_seen.to_string(),
                requeued_at: kept.requeued_at.map(|time| time.to_string()),
                body_bytes,
            },
            headers: letter.headers,
            body,
            body_hex,
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
    ];
    let halves = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    halves
        .filter_map(|half| DIGITS.get(usize::from(half)))
        .collect()
}
