//! From a task's name to its handler.

use std::collections::HashMap;
use std::pin::Pin;
use std::time::Duration;

use adtally_domain::{RetryPolicy, TaskMessage};
use adtally_store::TaskRun;
use serde_json::{Map, Value};

use super::handler::{TaskContext, TaskError, TaskHandler};

type Running = Pin<Box<dyn Future<Output = Result<(), TaskError>> + Send>>;

/// A task the worker knows.
#[derive(Clone, Copy)]
pub(super) struct Registered {
    /// Its name.
    pub(super) name: &'static str,
    /// When it runs again after a failure.
    pub(super) retry: RetryPolicy,
    /// The longest one run may take.
    pub(super) time_limit: Duration,
    /// The names of its arguments, in the order of a positional call.
    argument_names: &'static [&'static str],
    start: fn(TaskContext, TaskMessage, TaskRun) -> Running,
}

impl Registered {
    /// Starts a run of the task.
    pub(super) fn start(
        &self,
        context: TaskContext,
        message: TaskMessage,
        run: TaskRun,
    ) -> Running {
        (self.start)(context, message, run)
    }

    /// What `message` calls the task with, by name; a call that is none of this task's as it came.
    pub(super) fn arguments_of(&self, message: &TaskMessage) -> Map<String, Value> {
        let named = message.named_arguments(self.argument_names);
        named.unwrap_or_else(|_| {
            let mut arguments = message.kwargs.clone();
            if !message.args.is_empty() {
                arguments.insert("args".to_owned(), Value::Array(message.args.clone()));
            }
            arguments
        })
    }
}

/// The tasks the worker knows, by name.
#[derive(Default)]
pub(super) struct Registry {
    tasks: HashMap<&'static str, Registered>,
}

impl Registry {
    /// Adds the task `T`.
    pub(super) fn register<T: TaskHandler>(&mut self) {
        let registered = Registered {
            name: T::NAME,
            retry: T::RETRY,
            time_limit: T::TIME_LIMIT,
            argument_names: T::ARGUMENTS,
            start: start::<T>,
        };
        self.tasks.insert(T::NAME, registered);
    }

    /// The task named `name`.
    pub(super) fn get(&self, name: &str) -> Option<Registered> {
        self.tasks.get(name).copied()
    }
}

fn start<T: TaskHandler>(context: TaskContext, message: TaskMessage, run: TaskRun) -> Running {
    Box::pin(async move {
        let task =
            T::from_message(&message).map_err(|error| TaskError::Discard(error.to_string()))?;
        task.run(&context, run).await
    })
}

#[cfg(test)]
mod tests {
    use adtally_domain::{AggregateDay, Task};
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_arguments_of_a_call_are_noted_by_name_whatever_they_are() {
        let mut registry = Registry::default();
        registry.register::<AggregateDay>();
        let task = registry.get(AggregateDay::NAME).unwrap();
        let day = "2026-11-22".parse().unwrap();
        let mut call = AggregateDay { day }.message(Uuid::nil());
        let by_name = task.arguments_of(&call);
        assert_eq!(Value::Object(by_name.clone()), json!({"day": "2026-11-22"}));

        call.kwargs.clear();
        call.args = vec![json!("2026-11-22")];
        assert_eq!(task.arguments_of(&call), by_name);
        call.args.push(json!(7));
        let odd = json!({"args": ["2026-11-22", 7]});
        assert_eq!(Value::Object(task.arguments_of(&call)), odd);
    }
}
