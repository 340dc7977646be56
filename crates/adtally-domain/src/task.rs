//! A unit of work as data: what producers ask for and workers run.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use thiserror::Error;
use uuid::Uuid;

use crate::RetryPolicy;

/// A task's payload. Its handler lives in the worker; producers know only this.
///
/// The payload serialises to an object: its fields are the task's keyword arguments.
pub trait Task: Serialize + DeserializeOwned {
    /// The name Celery and people know the task by.
    const NAME: &'static str;
    /// The queue it goes to, without the deployment's prefix.
    const QUEUE: &'static str = "tasks";
    /// The names of its arguments, in the order of a positional call.
    const ARGUMENTS: &'static [&'static str];
    /// When it runs again after a failure.
    const RETRY: RetryPolicy;
    /// The longest one run may take.
    const TIME_LIMIT: Duration;

    /// The message that asks for this task under the id `id`.
    fn message(&self, id: Uuid) -> TaskMessage {
        let kwargs = match serde_json::to_value(self) {
            Ok(Value::Object(fields)) => fields,
            // A payload is a struct by the trait's rule; a unit struct has no arguments.
            _ => Map::new(),
        };
        TaskMessage {
            id,
            name: Self::NAME.to_owned(),
            queue: Self::QUEUE.to_owned(),
            args: Vec::new(),
            kwargs,
            time_limit: Some(Self::TIME_LIMIT),
        }
    }

    /// The payload in `message`, called with keyword or positional arguments.
    ///
    /// # Errors
    /// [`InvalidArguments`] when an argument is missing, unknown, given twice or of another type.
    fn from_message(message: &TaskMessage) -> Result<Self, InvalidArguments> {
        let arguments = message.named_arguments(Self::ARGUMENTS)?;
        serde_json::from_value(Value::Object(arguments))
            .map_err(|error| InvalidArguments(format!("{}: {error}", Self::NAME)))
    }
}

/// A task called with arguments it does not have.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("invalid task arguments: {0}")]
pub struct InvalidArguments(pub String);

/// What a message asks a worker for: which task to run, and with what.
///
/// Everything else that Celery's protocol says of a call is in `adtally-wire`.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskMessage {
    /// The task's id: the same id never has its effect twice.
    pub id: Uuid,
    /// The task's name.
    pub name: String,
    /// The queue it goes to or came from, without the deployment's prefix.
    pub queue: String,
    /// Positional arguments.
    pub args: Vec<Value>,
    /// Keyword arguments.
    pub kwargs: Map<String, Value>,
    /// The longest one run may take, when the sender set it.
    pub time_limit: Option<Duration>,
}

impl TaskMessage {
    /// The arguments by name, those of a positional call included; `names` is their order.
    ///
    /// # Errors
    /// [`InvalidArguments`] when there are more than names, or one is unknown or given twice.
    pub fn named_arguments(&self, names: &[&str]) -> Result<Map<String, Value>, InvalidArguments> {
        let fail = |detail: String| Err(InvalidArguments(format!("{}: {detail}", self.name)));
        if self.args.len() > names.len() {
            let (given, known) = (self.args.len(), names.len());
            return fail(format!(
                "{given} positional arguments given, it has {known}"
            ));
        }
        let mut arguments = self.kwargs.clone();
        for (name, value) in names.iter().zip(&self.args) {
            if arguments
                .insert((*name).to_owned(), value.clone())
                .is_some()
            {
                return fail(format!("{name} is given twice"));
            }
        }
        match arguments.keys().find(|key| !names.contains(&key.as_str())) {
            Some(unknown) => fail(format!("there is no argument {unknown:?}")),
            None => Ok(arguments),
        }
    }
}
