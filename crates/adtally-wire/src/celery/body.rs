//! The body of a task message.

use std::collections::BTreeMap;

use adtally_domain::TaskMessage;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

use super::TaskMessageError;
use super::json::Json;
use super::values::untype;

/// The three parts of a body of protocol 2.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Body {
    args: Json,
    kwargs: Json,
    pub(super) embed: Option<Embed>,
}

impl Serialize for Body {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.args, &self.kwargs, &self.embed).serialize(serializer)
    }
}

/// What a sender wants to happen after the task, as it was sent.
///
/// A signature is an object that says which task to send, with which arguments and options.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Embed(pub(super) BTreeMap<String, Json>);

impl Embed {
    /// The signatures to send with the result after success.
    #[must_use]
    pub fn callbacks(&self) -> Option<&Json> {
        self.part("callbacks")
    }

    /// The signatures to send after the last failure.
    #[must_use]
    pub fn errbacks(&self) -> Option<&Json> {
        self.part("errbacks")
    }

    /// The signatures that follow one after the other. The next one is the last of the list.
    #[must_use]
    pub fn chain(&self) -> Option<&Json> {
        self.part("chain")
    }

    /// The signature to send once all tasks of the group are done.
    #[must_use]
    pub fn chord(&self) -> Option<&Json> {
        self.part("chord")
    }

    /// The part of this name, unless it is null.
    #[must_use]
    pub fn part(&self, name: &str) -> Option<&Json> {
        self.0.get(name).filter(|part| !part.is_null())
    }

    /// The parts that Celery always writes, null unless `fields` has them.
    fn of(mut fields: BTreeMap<String, Json>) -> Self {
        let names = ["callbacks", "errbacks", "chain", "chord"];
        let parts = names.map(|name| {
            let part = fields.remove(name);
            (name.to_owned(), part.unwrap_or_else(|| Json::of(&())))
        });
        Self(parts.into())
    }
}

impl Body {
    /// The body of a call that nothing follows.
    pub(super) fn of(message: &TaskMessage) -> Self {
        Self {
            args: Json::of(&message.args),
            kwargs: Json::of(&message.kwargs),
            embed: Some(Embed::of(BTreeMap::new())),
        }
    }

    /// Positional and keyword arguments, Python's typed values among them as plain ones.
    pub(super) fn arguments(&self) -> Result<(Vec<Value>, Map<String, Value>), TaskMessageError> {
        let read = |part: &Json| part.read().map(untype).map_err(not_json);
        let (args, kwargs) = (read(&self.args)?, read(&self.kwargs)?);
        let Value::Array(args) = args else {
            return Err(TaskMessageError::Shape(
                "positional arguments must be an array",
            ));
        };
        let Value::Object(kwargs) = kwargs else {
            return Err(TaskMessageError::Shape(
                "keyword arguments must be an object",
            ));
        };
        Ok((args, kwargs))
    }
}

/// A body that is not looked into yet.
pub(super) enum Outline {
    /// What protocol 2 has.
    List(Vec<Json>),
    /// What protocol 1 has, and some senders of protocol 2.
    Object(BTreeMap<String, Json>),
    /// No call at all.
    Other,
}

impl Outline {
    pub(super) fn read(body: &[u8]) -> Result<Self, TaskMessageError> {
        let whole: Json = serde_json::from_slice(body).map_err(not_json)?;
        match whole.as_str().bytes().next() {
            Some(b'[') => whole.read().map(Self::List),
            Some(b'{') => whole.read().map(Self::Object),
            _ => Ok(Self::Other),
        }
        .map_err(not_json)
    }

    /// The three parts of a call: `[args, kwargs, embed]`, or an object with all of them.
    pub(super) fn into_body(self) -> Result<Body, TaskMessageError> {
        match self {
            Self::List(parts) => {
                let [args, kwargs, embed] = <[Json; 3]>::try_from(parts)
                    .map_err(|_| TaskMessageError::Shape("it must have three parts"))?;
                let embed = embed.read().map_err(|_| {
                    TaskMessageError::Shape("its third part must be an object or null")
                })?;
                Ok(Body {
                    args: list(args),
                    kwargs: object(kwargs),
                    embed,
                })
            }
            // Without either it is no call that somebody meant to send.
            Self::Object(fields)
                if !fields.contains_key("args") && !fields.contains_key("task") =>
            {
                Err(TaskMessageError::Shape(
                    "an object must have positional arguments",
                ))
            }
            Self::Object(mut fields) => {
                let mut part = |name| fields.remove(name).unwrap_or_else(|| Json::of(&()));
                Ok(Body {
                    args: list(part("args")),
                    kwargs: object(part("kwargs")),
                    embed: Some(Embed::of(fields)),
                })
            }
            Self::Other => Err(TaskMessageError::Shape("it must be an array or an object")),
        }
    }
}

pub(super) fn not_json(error: serde_json::Error) -> TaskMessageError {
    TaskMessageError::NotJson(error.to_string())
}

/// No arguments instead of null, which no Celery worker is known to take.
fn list(args: Json) -> Json {
    if args.is_null() {
        Json::of(&[(); 0])
    } else {
        args
    }
}

fn object(kwargs: Json) -> Json {
    if kwargs.is_null() {
        Json::of(&Map::new())
    } else {
        kwargs
    }
}
