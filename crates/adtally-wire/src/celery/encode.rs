//! Writing new task messages.

use adtally_domain::TaskMessage;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::body::Body;
use super::call::{Conditions, TaskCall};
use crate::properties::PERSISTENT;
use crate::{HeaderValue, Headers, Properties};

/// The format of all bodies.
pub(super) const JSON: &str = "application/json";
/// Celery cuts the printed arguments there; they are only ever shown to people.
const REPR_BYTES: usize = 1_024;

/// A task message ready to be published.
#[derive(Debug, Clone, PartialEq)]
pub struct EncodedTask {
    /// What the message says about itself.
    pub properties: Properties,
    /// The message itself.
    pub body: Vec<u8>,
}

impl TaskCall {
    /// The message of this call.
    #[must_use]
    pub fn encode(&self) -> EncodedTask {
        EncodedTask {
            properties: self.properties.clone(),
            body: serde_json::to_vec(&self.body).unwrap_or_default(),
        }
    }
}

impl From<TaskMessage> for TaskCall {
    /// A first attempt, which may run at once.
    fn from(message: TaskMessage) -> Self {
        let conditions = Conditions::default();
        Self {
            properties: properties(&message, conditions),
            body: Body::of(&message),
            conditions,
            message,
        }
    }
}

/// The properties that Celery writes, and a name and a sender beside them.
pub(super) fn properties(message: &TaskMessage, conditions: Conditions) -> Properties {
    let id = message.id.to_string();
    Properties {
        content_type: Some(JSON.to_owned()),
        content_encoding: Some("utf-8".to_owned()),
        headers: headers(message, &id, conditions),
        delivery_mode: Some(PERSISTENT),
        priority: Some(0),
        correlation_id: Some(id.clone()),
        reply_to: Some(String::new()),
        message_id: Some(id),
        app_id: Some("adtally".to_owned()),
        ..Properties::default()
    }
}

/// The headers that Celery writes.
pub(super) fn headers(message: &TaskMessage, id: &str, conditions: Conditions) -> Headers {
    use HeaderValue::{Bool, Int, List, Null, Table};
    let time = |time: Option<DateTime<Utc>>| {
        time.map_or(Null, |time| {
            text(time.to_rfc3339_opts(SecondsFormat::Micros, false))
        })
    };
    let Conditions {
        retries,
        eta,
        expires,
    } = conditions;
    let headers = [
        ("lang", text("rust")),
        ("task", text(&*message.name)),
        ("id", text(id)),
        ("shadow", Null),
        ("eta", time(eta)),
        ("expires", time(expires)),
        ("group", Null),
        ("group_index", Null),
        ("retries", Int(retries.into())),
        ("timelimit", List(vec![time_limit(message), Null])),
        ("root_id", text(id)),
        ("parent_id", if retries == 0 { Null } else { text(id) }),
        ("argsrepr", repr(&json!(message.args))),
        ("kwargsrepr", repr(&json!(message.kwargs))),
        ("origin", text("adtally")),
        ("ignore_result", Bool(true)),
        ("replaced_task_nesting", Int(0)),
        ("stamped_headers", Null),
        ("stamps", Table(Headers::new())),
    ];
    headers
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn time_limit(message: &TaskMessage) -> HeaderValue {
    match message.time_limit {
        None => HeaderValue::Null,
        Some(limit) if limit.subsec_nanos() == 0 => {
            HeaderValue::Int(i64::try_from(limit.as_secs()).unwrap_or(i64::MAX))
        }
        Some(limit) => HeaderValue::Float(limit.as_secs_f64()),
    }
}

fn text(text: impl Into<String>) -> HeaderValue {
    HeaderValue::Text(text.into())
}

fn repr(value: &Value) -> HeaderValue {
    let mut repr = value.to_string();
    repr.truncate(repr.floor_char_boundary(REPR_BYTES));
    text(repr)
}
