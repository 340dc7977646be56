//! The properties of a message.

use crate::Headers;

/// Stays on the broker's disk until it is acknowledged.
pub(crate) const PERSISTENT: u8 = 2;

/// What a message says about itself (AMQP 0-9-1, class `basic`), in types of our own.
///
/// `cluster-id` is missing: AMQP 0-9-1 has deprecated it, and nobody sets it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Properties {
    /// The format of the body.
    pub content_type: Option<String>,
    /// The encoding of the body.
    pub content_encoding: Option<String>,
    /// Everything else its publisher and the broker say about it.
    pub headers: Headers,
    /// 2 for a message that survives a restart of the broker, 1 for one that does not.
    pub delivery_mode: Option<u8>,
    /// Its priority, which matters only in queues that have priorities.
    pub priority: Option<u8>,
    /// What it belongs to. Celery's is the task's id.
    pub correlation_id: Option<String>,
    /// The queue that takes the answer.
    pub reply_to: Option<String>,
    /// How long it may stay in a queue, in milliseconds as a decimal text.
    pub expiration: Option<String>,
    /// The name its publisher gave it.
    pub message_id: Option<String>,
    /// When it was sent, in Unix seconds.
    pub timestamp: Option<u64>,
    /// The `type` property, such as [`crate::pack::MESSAGE_TYPE`].
    pub message_type: Option<String>,
    /// The user who published it. RabbitMQ checks it.
    pub user_id: Option<String>,
    /// The application that published it.
    pub app_id: Option<String>,
}
