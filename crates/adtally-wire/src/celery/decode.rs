//! Reading task messages.

use std::borrow::Cow;

use adtally_domain::{TaskMessage, named_task_id};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::TaskMessageError;
use super::values::{retries, time, time_limit, to_json, untype};
use crate::{Envelope, HeaderValue, Headers, Properties};

/// The call that a message with these properties and this body carries, which came from `queue`.
///
/// Both protocol 2 and its predecessor, which kept everything in the body, are read.
///
/// # Errors
/// [`TaskMessageError`] says what is wrong. The message will never be of use as it is.
pub fn decode(
    properties: &Properties,
    body: &[u8],
    queue: &str,
) -> Result<TaskMessage, TaskMessageError> {
    let message = Message {
        content_type: properties.content_type.as_deref(),
        content_encoding: properties.content_encoding.as_deref(),
        headers: &properties.headers,
        body,
        queue,
    };
    message.decode()
}

/// The id of the task that a message carries which was kept, when it is one.
#[must_use]
pub fn task_id(envelope: &Envelope, body: &[u8]) -> Option<Uuid> {
    let message = Message {
        content_type: envelope.content_type.as_deref(),
        content_encoding: envelope.content_encoding.as_deref(),
        headers: &envelope.headers,
        body,
        queue: "",
    };
    message.decode().ok().map(|task| task.id)
}

/// What of a message makes up a task message.
pub(super) struct Message<'a> {
    pub(super) content_type: Option<&'a str>,
    pub(super) content_encoding: Option<&'a str>,
    pub(super) headers: &'a Headers,
    pub(super) body: &'a [u8],
    pub(super) queue: &'a str,
}

impl Message<'_> {
    pub(super) fn decode(&self) -> Result<TaskMessage, TaskMessageError> {
        self.check_format()?;
        let body: Value = serde_json::from_slice(self.body)
            .map_err(|error| TaskMessageError::NotJson(error.to_string()))?;
        let attributes = match &body {
            Value::Object(fields) if !self.headers.contains_key("task") => Attributes::Body(fields),
            _ => Attributes::Headers(self.headers),
        };
        let name = attributes.text("task").ok_or(TaskMessageError::NoTask)?;
        let id = attributes.text("id").ok_or(TaskMessageError::NoId)?;
        let invalid = |name| move |()| TaskMessageError::InvalidHeader(name);
        let header = TaskMessage {
            // Celery takes any text for an id; ours are UUIDs. One text always gives the same one.
            id: Uuid::parse_str(&id).unwrap_or_else(|_| named_task_id(&id)),
            name: name.into_owned(),
            queue: self.queue.rsplit('.').next().unwrap_or_default().to_owned(),
            args: Vec::new(),
            kwargs: Map::new(),
            retries: retries(&attributes.get("retries")).map_err(invalid("retries"))?,
            eta: time(&attributes.get("eta")).map_err(invalid("eta"))?,
            expires: time(&attributes.get("expires")).map_err(invalid("expires"))?,
            time_limit: time_limit(&attributes.get("timelimit")).map_err(invalid("timelimit"))?,
        };
        let (args, kwargs) = call(body)?;
        Ok(TaskMessage {
            args,
            kwargs,
            ..header
        })
    }

    fn check_format(&self) -> Result<(), TaskMessageError> {
        match self.headers.get("compression") {
            None | Some(HeaderValue::Null) => {}
            Some(other) => {
                let name = other.as_text().unwrap_or("unknown").to_owned();
                return Err(TaskMessageError::Compressed(name));
            }
        }
        let is = |given: &str, known: &[&str]| known.iter().any(|k| given.eq_ignore_ascii_case(k));
        if let Some(given) = self.content_type
            && !is(given, &["application/json"])
        {
            return Err(TaskMessageError::ContentType(given.to_owned()));
        }
        if let Some(given) = self.content_encoding
            && !is(given, &["", "utf-8", "utf8", "us-ascii", "ascii", "binary"])
        {
            return Err(TaskMessageError::ContentEncoding(given.to_owned()));
        }
        Ok(())
    }
}

/// Where a message keeps its attributes: protocol 2 in the headers, protocol 1 in the body.
enum Attributes<'a> {
    Headers(&'a Headers),
    Body(&'a Map<String, Value>),
}

impl Attributes<'_> {
    fn get(&self, name: &str) -> Value {
        match self {
            Self::Headers(headers) => headers.get(name).map(to_json).unwrap_or_default(),
            Self::Body(fields) => fields.get(name).cloned().unwrap_or_default(),
        }
    }

    fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        let text = match self {
            Self::Headers(headers) => headers.get(name)?.as_text()?,
            Self::Body(fields) => fields.get(name)?.as_str()?,
        };
        (!text.is_empty()).then_some(Cow::Borrowed(text))
    }
}

/// Positional and keyword arguments: `[args, kwargs, embed]`, or an object with both.
fn call(body: Value) -> Result<(Vec<Value>, Map<String, Value>), TaskMessageError> {
    let (args, kwargs) = match body {
        Value::Array(parts) => {
            let [args, kwargs, embed] = <[Value; 3]>::try_from(parts)
                .map_err(|_| TaskMessageError::Shape("it must have three parts"))?;
            if !embed.is_object() && !embed.is_null() {
                return Err(TaskMessageError::Shape(
                    "its third part must be an object or null",
                ));
            }
            (args, kwargs)
        }
        // Without either it is no call that somebody meant to send.
        Value::Object(fields) if !fields.contains_key("args") && !fields.contains_key("task") => {
            return Err(TaskMessageError::Shape(
                "an object must have positional arguments",
            ));
        }
        Value::Object(mut fields) => (
            fields.remove("args").unwrap_or_default(),
            fields.remove("kwargs").unwrap_or_default(),
        ),
        _ => return Err(TaskMessageError::Shape("it must be an array or an object")),
    };
    let args = match untype(args) {
        Value::Null => Vec::new(),
        Value::Array(args) => args,
        _ => {
            return Err(TaskMessageError::Shape(
                "positional arguments must be an array",
            ));
        }
    };
    let kwargs = match untype(kwargs) {
        Value::Null => Map::new(),
        Value::Object(kwargs) => kwargs,
        _ => {
            return Err(TaskMessageError::Shape(
                "keyword arguments must be an object",
            ));
        }
    };
    Ok((args, kwargs))
}
