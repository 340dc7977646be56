//! Writing task messages.

use adtally_domain::TaskMessage;
use chrono::{DateTime, SecondsFormat, Utc};
use lapin::BasicProperties;
use serde_json::{Value, json};

use crate::connection::short;
use crate::headers::table;
use crate::{HeaderValue, Headers};

/// Celery cuts the printed arguments there; they are only ever shown to people.
const REPR_BYTES: usize = 1_024;
const PERSISTENT: u8 = 2;

/// A task message ready to be published.
pub(crate) struct EncodedTask {
    pub(crate) properties: BasicProperties,
    pub(crate) body: Vec<u8>,
}

/// Writes a call the way Celery does.
pub(crate) fn encode(task: &TaskMessage) -> EncodedTask {
    let id = task.id.to_string();
    let embed = json!({"callbacks": null, "errbacks": null, "chain": null, "chord": null});
    let properties = BasicProperties::default()
        .with_content_type(short("application/json"))
        .with_content_encoding(short("utf-8"))
        .with_headers(table(&headers(task)))
        .with_delivery_mode(PERSISTENT)
        .with_priority(0)
        .with_correlation_id(short(&id))
        .with_reply_to(short(""))
        .with_message_id(short(&id))
        .with_app_id(short("adtally"));
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
