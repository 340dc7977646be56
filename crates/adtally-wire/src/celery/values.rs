//! Single values of a task message, in every spelling its senders use.

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};
use serde_json::{Map, Value};

use crate::HeaderValue;

/// A header's value as JSON, so that headers and bodies are read by the same rules.
pub(super) fn to_json(value: &HeaderValue) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

/// An ISO 8601 time: `None` for null, `Err` for what is no time (an empty text is none).
///
/// A time without offset is taken as UTC, which is Celery's default.
pub(super) fn time(value: &Value) -> Result<Option<DateTime<Utc>>, ()> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => parse_time(text).map(Some).ok_or(()),
        Value::Number(number) => {
            let seconds = number.as_i64().ok_or(())?;
            DateTime::from_timestamp(seconds, 0).map(Some).ok_or(())
        }
        _ => Err(()),
    }
}

fn parse_time(text: &str) -> Option<DateTime<Utc>> {
    let with_t = text.trim().replacen(' ', "T", 1);
    // Not as RFC 3339: years beyond 9999, which we may have written ourselves, have a sign.
    let with_offset = with_t.parse::<DateTime<Utc>>();
    let naive = || with_t.parse::<NaiveDateTime>().map(|time| time.and_utc());
    with_offset.or_else(|_| naive()).ok()
}

/// How often the task was tried before: an integer, also as text; anything below 0 counts as 0.
pub(super) fn retries(value: &Value) -> Result<u32, ()> {
    let number = match value {
        Value::Null => return Ok(0),
        Value::Number(number) => number.as_i64().ok_or(())?,
        Value::String(text) => text.trim().parse().map_err(drop)?,
        _ => return Err(()),
    };
    Ok(u32::try_from(number.max(0)).unwrap_or(u32::MAX))
}

/// `[hard, soft]` limits in seconds, each a number or null: the hard one, else the soft one.
///
/// Zero means none, as in Celery.
pub(super) fn time_limit(value: &Value) -> Result<Option<Duration>, ()> {
    let limits = match value {
        Value::Null => return Ok(None),
        Value::Array(limits) => limits,
        _ => return Err(()),
    };
    for limit in limits {
        match limit {
            Value::Null => {}
            Value::Number(number) => {
                let seconds = number
                    .as_f64()
                    .filter(|seconds| *seconds >= 0.0)
                    .ok_or(())?;
                if seconds > 0.0 {
                    return Ok(Some(Duration::try_from_secs_f64(seconds).map_err(drop)?));
                }
            }
            _ => return Err(()),
        }
    }
    Ok(None)
}

/// Replaces each of Python's typed values, an object of `__type__` and `__value__`, by the value
/// alone, in any depth.
pub(super) fn untype(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(untype).collect(),
        Value::Object(fields) => match typed_value(&fields) {
            Some(value) => value,
            None => fields
                .into_iter()
                .map(|(name, value)| (name, untype(value)))
                .collect(),
        },
        plain => plain,
    }
}

fn typed_value(fields: &Map<String, Value>) -> Option<Value> {
    let kind = fields.get("__type__")?.as_str()?;
    let value = fields.get("__value__").filter(|_| fields.len() == 2)?;
    match kind {
        "datetime" | "date" | "time" | "decimal" | "bytes" | "base64" => Some(value.clone()),
        "uuid" => {
            let hex = value.get("hex").and_then(Value::as_str)?;
            Some(Value::String(uuid::Uuid::parse_str(hex).ok()?.to_string()))
        }
        _ => None,
    }
}
