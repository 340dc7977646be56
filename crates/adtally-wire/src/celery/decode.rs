//! Reading task messages.

use std::collections::BTreeMap;

use adtally_domain::{TaskMessage, named_task_id};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::body::{Outline, not_json};
use super::call::{Conditions, TaskCall};
use super::json::Json;
use super::values::{retries, time, time_limit, to_json};
use super::{TaskMessageError, encode};
use crate::headers::of_the_sender;
use crate::{Envelope, HeaderValue, Headers, Properties};

/// The id of the task that a kept message carries, when it is one.
#[must_use]
pub fn task_id(envelope: &Envelope, body: &[u8]) -> Option<Uuid> {
    let call = TaskCall::decode(&envelope.properties(), body, "");
    call.ok().map(|call| call.id())
}

impl TaskCall {
    /// The call in a message with these properties and this body, which came from `queue`.
    ///
    /// # Errors
    /// [`TaskMessageError`] says what is wrong. The message will never be of use as it is.
    pub fn decode(
        properties: &Properties,
        body: &[u8],
        queue: &str,
    ) -> Result<Self, TaskMessageError> {
        check_format(properties)?;
        let outline = Outline::read(body)?;
        let attributes = match &outline {
            Outline::Object(fields) if !properties.headers.contains_key("task") => {
                Attributes::Body(fields)
            }
            _ => Attributes::Headers(&properties.headers),
        };
        let is_protocol_1 = matches!(attributes, Attributes::Body(_));
        let name = attributes.text("task").ok_or(TaskMessageError::NoTask)?;
        let id = attributes.text("id").ok_or(TaskMessageError::NoId)?;
        let group = attributes.text("taskset");
        let conditions = Conditions {
            retries: attributes.read("retries", retries)?,
            eta: attributes.read("eta", time)?,
            expires: attributes.read("expires", time)?,
        };
        let mut message = TaskMessage {
            // Celery takes any text for an id; ours are UUIDs. One text always gives the same one.
            id: Uuid::parse_str(&id).unwrap_or_else(|_| named_task_id(&id)),
            name,
            queue: queue.rsplit('.').next().unwrap_or_default().to_owned(),
            args: Vec::new(),
            kwargs: Map::new(),
            time_limit: attributes.read("timelimit", time_limit)?,
        };
        let body = outline.into_body()?;
        (message.args, message.kwargs) = body.arguments()?;
        let headers = if is_protocol_1 {
            let mut headers = encode::headers(&message, &id, conditions);
            headers.extend(group.map(|group| ("group".to_owned(), HeaderValue::Text(group))));
            headers
        } else {
            of_the_sender(&properties.headers)
        };
        let mut properties = Properties {
            headers,
            ..properties.clone()
        };
        // A Celery worker ends without one.
        let content_type = &mut properties.content_type;
        content_type.get_or_insert_with(|| encode::JSON.to_owned());
        Ok(Self {
            properties,
            body,
            conditions,
            message,
        })
    }
}

fn check_format(properties: &Properties) -> Result<(), TaskMessageError> {
    match properties.headers.get("compression") {
        None | Some(HeaderValue::Null) => {}
        Some(other) => {
            let name = other.as_text().unwrap_or("unknown").to_owned();
            return Err(TaskMessageError::Compressed(name));
        }
    }
    let is = |given: &str, known: &[&str]| known.iter().any(|k| given.eq_ignore_ascii_case(k));
    if let Some(given) = &properties.content_type
        && !is(given, &[encode::JSON])
    {
        return Err(TaskMessageError::ContentType(given.clone()));
    }
    if let Some(given) = &properties.content_encoding
        && !is(given, &["", "utf-8", "utf8", "us-ascii", "ascii", "binary"])
    {
        return Err(TaskMessageError::ContentEncoding(given.clone()));
    }
    Ok(())
}

/// Where a message keeps its attributes: protocol 2 in the headers, protocol 1 in the body.
enum Attributes<'a> {
    Headers(&'a Headers),
    Body(&'a BTreeMap<String, Json>),
}

impl Attributes<'_> {
    /// What `read` makes of the attribute `name`, which is null when it is missing.
    fn read<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&Value) -> Result<T, ()>,
    ) -> Result<T, TaskMessageError> {
        let value = match self {
            Self::Headers(headers) => headers.get(name).map(|value| Ok(to_json(value))),
            Self::Body(fields) => fields.get(name).map(Json::read::<Value>),
        };
        let value = value.transpose().map_err(not_json)?.unwrap_or_default();
        read(&value).map_err(|()| TaskMessageError::InvalidHeader(name))
    }

    fn text(&self, name: &str) -> Option<String> {
        let text = match self {
            Self::Headers(headers) => headers.get(name)?.as_text()?.to_owned(),
            Self::Body(fields) => fields.get(name)?.read().ok()?,
        };
        (!text.is_empty()).then_some(text)
    }
}
