//! Writing task messages.

use adtally_domain::TaskMessage;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use crate::properties::PERSISTENT;
use crate::{HeaderValue, Headers, Properties};

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

/// Writes a call the way Celery does.
#[must_use]
pub fn encode(task: &TaskMessage) -> EncodedTask {
    let id = task.id.to_string();
    let embed = json!({"callbacks": null, "errbacks": null, "chain": null, "chord": null});
    let properties = Properties {
        content_type: Some("application/json".to_owned()),
        content_encoding: Some("utf-8".to_owned()),
        headers: headers(task),
        delivery_mode: Some(PERSISTENT),
        priority: Some(0),
        correlation_id: Some(id.clone()),
        reply_to: Some(String::new()),
        message_id: Some(id),
        app_id: Some("adtally".to_owned()),
        ..Properties::default()
    };
    EncodedTask {
        properties,
        body: json!([task.args, task.kwargs, embed]).to_string().into(),
    }
}

pub(super) fn headers(task: &TaskMessage) -> Headers {
    use HeaderValue::{Bool, Int, List, Null, Table};
    let id = || text(task.id.to_string());
    let time = |time: Option<DateTime<Utc>>| {
        time.map_or(Null, |time| {
            text(time.to_rfc3339_opts(SecondsFormat::Micros, false))
        })
    };
    let headers = [
        ("lang", text("rust")),
        ("task", text(&*task.name)),
        ("id", id()),
        ("shadow", Null),
        ("eta", time(task.eta)),
        ("expires", time(task.expires)),
        ("group", Null),
        ("group_index", Null),
        ("retries", Int(task.retries.into())),
        ("timelimit", List(vec![time_limit(task), Null])),
        ("root_id", id()),
        ("parent_id", if task.retries == 0 { Null } else { id() }),
        ("argsrepr", text(repr(&Value::Array(task.args.clone())))),
        (
            "kwargsrepr",
            text(repr(&Value::Object(task.kwargs.clone()))),
        ),
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

fn time_limit(task: &TaskMessage) -> HeaderValue {
    match task.time_limit {
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

fn repr(value: &Value) -> String {
    let mut text = value.to_string();
    text.truncate(text.floor_char_boundary(REPR_BYTES));
    text
}
