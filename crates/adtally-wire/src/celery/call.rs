//! A call of a task, with everything that its message says.

use adtally_domain::TaskMessage;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::body::{Body, Embed};
use crate::{HeaderValue, Properties};

/// A call of a task, with everything that its message says.
///
/// A new one comes [from](From) a [`TaskMessage`], one that was received from [`Self::decode`]. Either is
/// written by [`Self::encode`], a received one as it came.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskCall {
    // What was read from the properties and the body. Only methods change either, and then both.
    pub(super) message: TaskMessage,
    pub(super) conditions: Conditions,
    pub(super) properties: Properties,
    pub(super) body: Body,
}

/// Which attempt it is, and when it may run.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Conditions {
    pub(super) retries: u32,
    pub(super) eta: Option<DateTime<Utc>>,
    pub(super) expires: Option<DateTime<Utc>>,
}

impl TaskCall {
    /// Which task it calls, and with what.
    #[must_use]
    pub fn message(&self) -> &TaskMessage {
        &self.message
    }

    /// The task's id. Celery takes any text for one: of a text that is no UUID, one is derived.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.message.id
    }

    /// The task's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.message.name
    }

    /// Runs that failed before this one.
    #[must_use]
    pub fn retries(&self) -> u32 {
        self.conditions.retries
    }

    /// Not to be run earlier.
    #[must_use]
    pub fn eta(&self) -> Option<DateTime<Utc>> {
        self.conditions.eta
    }

    /// Not to be run later.
    #[must_use]
    pub fn expires(&self) -> Option<DateTime<Utc>> {
        self.conditions.expires
    }

    /// The properties of its message, and among them the headers.
    #[must_use]
    pub fn properties(&self) -> &Properties {
        &self.properties
    }

    /// What is to happen after it; `None` when its sender wrote null.
    #[must_use]
    pub fn embed(&self) -> Option<&Embed> {
        self.body.embed.as_ref()
    }

    /// The call of the next attempt, after this one failed. Celery names the task itself its parent then.
    #[must_use]
    pub fn next_attempt(mut self) -> Self {
        self.conditions.retries = self.conditions.retries.saturating_add(1);
        let headers = &mut self.properties.headers;
        if let Some(id) = headers.get("id").cloned() {
            headers.insert("parent_id".to_owned(), id);
        }
        let retries = HeaderValue::Int(self.conditions.retries.into());
        headers.insert("retries".to_owned(), retries);
        self
    }
}
