//! Bodies that describe an ad or an advertiser, validated field by field.

#[cfg(test)]
mod tests;

use actix_web::HttpRequest;
use actix_web::web::Payload;
use serde::de::{Deserialize, DeserializeOwned, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::http::body::BodyReader;
use crate::http::media_type::MediaType;
use crate::http::problem::{FieldError, Problem, ProblemCode};
use crate::http::web_address::web_address;

/// The longest body of these routes, in bytes.
const MAX_BODY_BYTES: usize = 64 * 1_024;

/// The longest title or name, in characters.
pub(crate) const MAX_NAME_CHARS: usize = 200;

/// A field as it was sent.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) enum Sent {
    /// Not at all.
    #[default]
    Missing,
    /// As null.
    Null,
    /// With a value of any type.
    Value(Value),
}

impl<'de> Deserialize<'de> for Sent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Value::deserialize(deserializer)? {
            Value::Null => Self::Null,
            value => Self::Value(value),
        })
    }
}

/// Collects what is wrong with the fields of one body.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    errors: Vec<FieldError>,
}

impl Fields {
    /// The id in `sent`; `None` when it is missing, null or wrong.
    pub(crate) fn id(&mut self, field: &'static str, sent: &Sent) -> Option<i64> {
        let Sent::Value(value) = sent else {
            return None;
        };
        let id = value.as_i64().filter(|id| *id > 0);
        self.or_wrong(
            field,
            id,
            "must be a whole number from 1 to 9223372036854775807",
        )
    }

    /// The boolean in `sent`; `None` when it is missing or wrong. Null is wrong.
    pub(crate) fn boolean(&mut self, field: &'static str, sent: &Sent) -> Option<bool> {
        let value = match sent {
            Sent::Missing => return None,
            Sent::Null => None,
            Sent::Value(value) => value.as_bool(),
        };
        self.or_wrong(field, value, "must be true or false")
    }

    /// The title or name in `sent`; `None` when it is missing or wrong. Null is wrong.
    pub(crate) fn name(&mut self, field: &'static str, sent: &Sent) -> Option<String> {
        let text = match sent {
            Sent::Missing => return None,
            Sent::Null => None,
            Sent::Value(value) => value.as_str(),
        };
        let is_valid = |text: &&str| {
            text.chars().count() <= MAX_NAME_CHARS
                && !text.trim().is_empty()
                && !text.chars().any(char::is_control)
        };
        let text = text.filter(is_valid).map(str::to_owned);
        self.or_wrong(
            field,
            text,
            "must be a text of 1 to 200 characters, no control character",
        )
    }

    /// The web address in `sent`: `None` when it is missing or wrong, `Some(None)` when it is null.
    pub(crate) fn web_address(
        &mut self,
        field: &'static str,
        sent: &Sent,
    ) -> Option<Option<String>> {
        let text = match sent {
            Sent::Missing => return None,
            Sent::Null => return Some(None),
            Sent::Value(value) => value.as_str(),
        };
        let fault = match text.map(web_address) {
            Some(Ok(_)) => return Some(text.map(str::to_owned)),
            Some(Err(fault)) => fault,
            None => "must be a text or null".to_owned(),
        };
        self.wrong(field, &fault);
        None
    }

    /// `value` of a field that must be there.
    pub(crate) fn required<T>(
        &mut self,
        field: &'static str,
        sent: &Sent,
        value: Option<T>,
    ) -> Option<T> {
        if matches!(sent, Sent::Missing | Sent::Null) && value.is_none() {
            self.errors.retain(|error| error.field != field);
            self.wrong(field, "is required");
        }
        value
    }

    /// An id cannot be changed; sending the same one again is fine.
    pub(crate) fn same_id(&mut self, sent: &Sent, id: i64) {
        let is_same = match sent {
            Sent::Missing => true,
            Sent::Null => false,
            Sent::Value(value) => value.as_i64() == Some(id),
        };
        if !is_same {
            self.wrong("id", "cannot be changed");
        }
    }

    /// Notes that `field` is wrong; `fault` goes on after the field's name.
    pub(crate) fn wrong(&mut self, field: &'static str, fault: &str) {
        self.errors.push(FieldError {
            field,
            detail: format!("{field} {fault}"),
        });
    }

    /// `made` when nothing was wrong.
    ///
    /// # Errors
    /// A problem that lists the wrong fields.
    pub(crate) fn finish<T>(self, made: Option<T>) -> Result<T, Problem> {
        match made {
            Some(made) if self.errors.is_empty() => Ok(made),
            _ => Err(Problem::invalid_fields(self.errors)),
        }
    }

    fn or_wrong<T>(&mut self, field: &'static str, value: Option<T>, fault: &str) -> Option<T> {
        if value.is_none() {
            self.wrong(field, fault);
        }
        value
    }
}

/// The JSON object in the body of `request`. Unknown fields are ignored.
///
/// # Errors
/// Problems of reading a body, and a body that is not a JSON object with each field once.
pub(crate) async fn read<T: DeserializeOwned>(
    bodies: &BodyReader,
    request: &HttpRequest,
    payload: Payload,
) -> Result<T, Problem> {
    if MediaType::of(request)? != MediaType::Json {
        let detail = "send content-type: application/json";
        return Err(Problem::new(ProblemCode::UnsupportedMediaType, detail));
    }
    let body = bodies.read(request, payload, MAX_BODY_BYTES).await?;
    object(body.bytes())
}

fn object<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let raw: &RawValue = serde_json::from_slice(body.trim_ascii()).map_err(|error| {
        let detail = format!(
            "not JSON at line {}, column {}",
            error.line(),
            error.column()
        );
        Problem::new(ProblemCode::MalformedJson, detail)
    })?;
    let unusable = |detail: String| Problem::new(ProblemCode::InvalidFields, detail);
    if !raw.get().starts_with('{') {
        return Err(unusable("the body must be a JSON object".to_owned()));
    }
    serde_json::from_str(raw.get()).map_err(|error| {
        let reason: String = error.to_string().chars().take(120).collect();
        unusable(format!("the body cannot be read: {reason}"))
    })
}
