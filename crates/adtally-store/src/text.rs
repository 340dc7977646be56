//! Text on its way into the database. PostgreSQL keeps no NUL in a text or in JSON, and what is kept
//! for people to read must never fail for what is in it.

use serde_json::Value;

pub(crate) fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

pub(crate) fn without_nul_in(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(without_nul(text)),
        Value::Array(items) => Value::Array(items.iter().map(without_nul_in).collect()),
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .map(|(name, value)| (without_nul(name), without_nul_in(value)))
                .collect(),
        ),
        other => other.clone(),
    }
}
