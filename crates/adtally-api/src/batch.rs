//! From the body of `POST /v1/events` to its items, each still unread JSON.

#[cfg(test)]
mod tests;

use std::fmt;

use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::body::MediaType;
use crate::problem::{Problem, ProblemCode};

/// The most events one request may hold.
pub(crate) const MAX_EVENTS: usize = 10_000;

/// One event's JSON as it was sent; `None` for a line that is not UTF-8.
pub(crate) type Item<'a> = Option<&'a str>;

/// The items of a body, in order.
///
/// A JSON text is checked as a whole, but not read: what is wrong inside one item costs that item
/// only. A line of NDJSON is a JSON text of its own, so even a malformed one costs only itself.
///
/// # Errors
/// [`ProblemCode::MalformedJson`] for a body that is empty, is not JSON or is neither an object nor
/// an array; [`ProblemCode::TooManyEvents`].
pub(crate) fn items(body: &[u8], media_type: MediaType) -> Result<Vec<Item<'_>>, Problem> {
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

fn lines(body: &[u8]) -> Result<Vec<Item<'_>>, Problem> {
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

fn object(body: &[u8]) -> Result<Vec<Item<'_>>, Problem> {
    let raw: &RawValue = serde_json::from_slice(body).map_err(|error| not_json(&error))?;
    Ok(vec![Some(raw.get())])
}

fn array(body: &[u8]) -> Result<Vec<Item<'_>>, Problem> {
    let Items(items) = serde_json::from_slice(body).map_err(|error| not_json(&error))?;
    items.ok_or_else(too_many)
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

/// The items of an array; `None` when there are more than [`MAX_EVENTS`], of which no more are held.
struct Items<'a>(Option<Vec<Item<'a>>>);

impl<'de: 'a, 'a> Deserialize<'de> for Items<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ItemsVisitor)
    }
}

struct ItemsVisitor;

impl<'de> Visitor<'de> for ItemsVisitor {
    type Value = Items<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        let mut count = 0;
        while let Some(raw) = array.next_element::<&'de RawValue>()? {
            count += 1;
            if count <= MAX_EVENTS {
                items.push(Some(raw.get()));
            }
        }
        Ok(Items((count <= MAX_EVENTS).then_some(items)))
    }
}
