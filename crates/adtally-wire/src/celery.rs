//! Task messages as Celery sends and takes them: version 2 of its message protocol, in JSON.
//!
//! A Celery application may put tasks on our queue, and a Celery worker may run ours. Reading is
//! forgiving where Celery's own worker is, and never worse than a refusal with a reason, also for
//! the messages that end a Celery worker. Writing never produces one of those: there is always an
//! id, a content type and a body of three parts, and never an empty time.
//!
//! What a sender asks to happen after a task (callbacks, chains, chords, results) is ignored.

mod decode;
mod encode;
mod reset;
#[cfg(test)]
mod tests;
mod values;

use thiserror::Error;

pub use decode::{decode, task_id};
pub use encode::{EncodedTask, encode};
pub use reset::reset_attempts;

/// Why a message is not a task that can be run.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TaskMessageError {
    /// The body is compressed, which we do not read.
    #[error("the task message is compressed ({0}); send it uncompressed")]
    Compressed(String),
    /// The body is in another format than JSON.
    #[error("the task message has content type {0:?}; only application/json is read")]
    ContentType(String),
    /// The body is in another encoding than UTF-8.
    #[error("the task message has content encoding {0:?}; only utf-8 is read")]
    ContentEncoding(String),
    /// The body is not JSON.
    #[error("the task message's body is not JSON: {0}")]
    NotJson(String),
    /// Nothing says which task it is.
    #[error("the message names no task")]
    NoTask,
    /// The task has no id, so it could not be run exactly once.
    #[error("the task message has no id")]
    NoId,
    /// The body has not the shape of a call.
    #[error("the task message's body has the wrong shape: {0}")]
    Shape(&'static str),
    /// A header has a value that makes no sense.
    #[error("the task message's {0} is invalid")]
    InvalidHeader(&'static str),
}
