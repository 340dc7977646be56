//! Task messages that were kept and are sent once more.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::{Envelope, HeaderValue};

/// Lets a task that was kept run as if it had never been tried, and however late it is.
///
/// Protocol 1 says both in the body. Only such a body changes, and nothing else in it.
pub fn refresh(envelope: &mut Envelope, body: &mut Vec<u8>) {
    for (name, fresh) in [
        ("retries", HeaderValue::Int(0)),
        ("expires", HeaderValue::Null),
    ] {
        if let Some(value) = envelope.headers.get_mut(name) {
            *value = fresh;
        }
    }
    if !envelope.headers.contains_key("task")
        && let Some(fresh) = refreshed(body)
    {
        *body = fresh;
    }
}

/// The body with its own fields made fresh; `None` when it has none of them or they are.
fn refreshed(body: &[u8]) -> Option<Vec<u8>> {
    // Unread, so that no number in the arguments loses digits.
    let mut fields: BTreeMap<String, &RawValue> = serde_json::from_slice(body).ok()?;
    let mut is_changed = false;
    for (name, fresh) in [("retries", "0"), ("expires", "null")] {
        if let Some(value) = fields.get_mut(name)
            && value.get() != fresh
        {
            *value = serde_json::from_str(fresh).ok()?;
            is_changed = true;
        }
    }
    is_changed
        .then(|| serde_json::to_vec(&fields).ok())
        .flatten()
}
