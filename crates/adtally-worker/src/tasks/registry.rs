//! From a task's name to its handler.

use std::collections::HashMap;
use std::pin::Pin;
use std::time::Duration;

use adtally_domain::{RetryPolicy, TaskMessage};
use adtally_store::TaskRun;

use super::handlers::{self, TaskHandler};
use super::{TaskContext, TaskError};

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
}

/// The tasks the worker knows, by name.
#[derive(Default)]
pub(super) struct Registry {
    tasks: HashMap<&'static str, Registered>,
}

impl Registry {
    /// Every task that has a handler.
    pub(super) fn with_all_tasks() -> Self {
        let mut registry = Self::default();
        handlers::register_all(&mut registry);
        registry
    }

    /// Adds the task `T`.
    pub(super) fn register<T: TaskHandler>(&mut self) {
        let registered = Registered {
            name: T::NAME,
            retry: T::RETRY,
            time_limit: T::TIME_LIMIT,
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
