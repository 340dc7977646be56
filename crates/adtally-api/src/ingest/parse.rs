//! From the body of `POST /v1/events` to its events, not yet validated.

mod fast;
#[cfg(test)]
mod tests;

use std::fmt;

use adtally_domain::{EventInput, RejectCode, Rejection};
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::http::media_type::MediaType;
use crate::http::problem::{Problem, ProblemCode};

/// The most events one request may hold.
pub(crate) const MAX_EVENTS: usize = 10_000;

/// An event as it was sent, or why it cannot be read.
pub(crate) type Item<'a> = Result<EventInput<'a>, Rejection>;

/// One event's JSON as it was sent; `None` for a line that is not UTF-8.
type RawItem<'a> = Option<&'a str>;

/// The items of a body, in order.
///
/// # Errors
/// [`ProblemCode::MalformedJson`] for a body that is empty, is not JSON or is neither an object nor
/// an array; [`ProblemCode::TooManyEvents`].
pub(crate) fn events(body: &[u8], media_type: MediaType) -> Result<Vec<Item<'_>>, Problem> {
    let parsed = match media_type {
        MediaType::Json => fast::events(body),
        MediaType::Ndjson => None,
    };
    match parsed {
        Some(events) => Ok(events.into_iter().map(Ok).collect()),
        None => Ok(raw_items(body, media_type)?
            .into_iter()
            .map(parse)
            .collect()),
    }
}

fn parse(item: RawItem<'_>) -> Item<'_> {
    let invalid = |detail| Rejection::new(RejectCode::InvalidEvent, detail);
    let json = item.ok_or_else(|| invalid("the line is not UTF-8".to_owned()))?;
    // serde would also take an array of the fields' values in order.
    if !json.starts_with('{') {
        return Err(invalid("an event is a JSON object".to_owned()));
    }
    serde_json::from_str(json).map_err(|error| {
        let reason: String = error.to_string().chars().take(120).collect();
        invalid(format!("the event cannot be read: {reason}"))
    })
}

/// The items of a body as they were sent, in order.
///
/// A JSON text is checked as a whole, but not read: what is wrong inside one item costs that item
/// only. A line of NDJSON is a JSON text of its own, so even a malformed one costs only itself.
fn raw_items(body: &[u8], media_type: MediaType) -> Result<Vec<RawItem<'_>>, Problem> {
    let body = body.trim_ascii();
    match (media_type, body.first()) {
        (_, None) => Err(malformed("the body is empty")),
        (MediaType::Ndjson, _) => lines(body),
        (MediaType::Json, Some(b'{')) => object(body),
        (MediaType::Json, Some(b'[')) => array(body),
        (MediaType::Json, Some(_)) => Err(malformed(
            "the body must be a JSON object or an array of objects",
        )),
    }
}

fn lines(body: &[u8]) -> Result<Vec<RawItem<'_>>, Problem> {
    let lines = body.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    let items: Vec<_> = lines
        .filter(|line| !line.is_empty())
        .map(|line| std::str::from_utf8(line).ok())
        .take(MAX_EVENTS + 1)
        .collect();
    if items.len() > MAX_EVENTS {
        Err(too_many())
    } else {
        Ok(items)
    }
}

fn object(body: &[u8]) -> Result<Vec<RawItem<'_>>, Problem> {
    let raw: &RawValue = serde_json::from_slice(body).map_err(|error| not_json(&error))?;
    Ok(vec![Some(raw.get())])
}

fn array(body: &[u8]) -> Result<Vec<RawItem<'_>>, Problem> {
    let mut is_over = false;
    let mut json = serde_json::Deserializer::from_slice(body);
    let items = json
        .deserialize_seq(RawItems {
            is_over: &mut is_over,
        })
        .and_then(|items| json.end().map(|()| items));
    items.map_err(|error| {
        if is_over {
            too_many()
        } else {
            not_json(&error)
        }
    })
}

fn not_json(error: &serde_json::Error) -> Problem {
    malformed(format!(
        "not JSON at line {}, column {}",
        error.line(),
        error.column()
    ))
}

fn malformed(detail: impl Into<String>) -> Problem {
    Problem::new(ProblemCode::MalformedJson, detail)
}

fn too_many() -> Problem {
    let detail = format!("one request holds at most {MAX_EVENTS} events; send more requests");
    Problem::new(ProblemCode::TooManyEvents, detail)
}

/// Takes the items of an array, and stops at the first that is too many: what follows it is not read.
struct RawItems<'a> {
    is_over: &'a mut bool,
}

impl<'de> Visitor<'de> for RawItems<'_> {
    type Value = Vec<RawItem<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(raw) = array.next_element::<&'de RawValue>()? {
            if items.len() == MAX_EVENTS {
                *self.is_over = true;
                return Err(A::Error::custom("too many"));
            }
            items.push(Some(raw.get()));
        }
        Ok(items)
    }
}
