//! Task messages as Celery sends and takes them: version 2 of its message protocol, in JSON.
//!
//! A Celery application may put tasks on our queue, and a Celery worker may run ours. A [`TaskCall`] is
//! one message with everything in it. What was read is written again as it was:
//!
//! | part of the message | in a call |
//! |---|---|
//! | properties | [`TaskCall::properties`], all of them |
//! | headers, known to us or not | among the properties; those of the broker itself are left out |
//! | arguments | [`TaskCall::message`] for whoever runs the task; kept as they came for whoever gets it next |
//! | callbacks, errbacks, chain, chord | [`TaskCall::embed`], kept as they came. No worker of ours acts on them |
//!
//! Reading is forgiving where Celery's own worker is. It is never worse than a refusal with a reason, also
//! for the messages that end a Celery worker. Protocol 1, which had everything in the body, is read too,
//! and becomes a call of protocol 2.
//!
//! Writing never makes a message that ends a Celery worker. There is always an id, a content type and a
//! body of three parts.

mod body;
mod call;
mod decode;
mod encode;
mod json;
mod reset;
#[cfg(test)]
mod tests;
mod values;

use thiserror::Error;

pub use body::Embed;
pub use call::TaskCall;
pub use decode::task_id;
pub use encode::EncodedTask;
pub use json::Json;
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
