//! What can go wrong between us and the broker.

use std::time::Duration;

use thiserror::Error;

/// Why the broker could not be used. No message holds a password.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// A broker URL that can't be read. Retrying is useless.
    #[error("broker URL {position} is malformed: {reason}")]
    InvalidUrl {
        /// Which of the given URLs, from 1.
        position: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// No broker URL at all. Retrying is useless.
    #[error("no broker URL is given")]
    NoUrl,
    /// A prefix that can't begin the names of queues. Retrying is useless.
    #[error("prefix {0:?} is invalid: it is 1 to 64 of a-z, 0-9, '.', '_' and '-'")]
    InvalidPrefix(String),
    /// Nothing answered as an AMQP broker.
    #[error("broker {url} can't be reached: {reason}")]
    Unreachable {
        /// The URL without its password.
        url: String,
        /// What the network said.
        reason: String,
    },
    /// The broker does not know this user with this password.
    #[error("broker {url} refused user {user:?}: check the user name and the password")]
    LoginRefused {
        /// The URL without its password.
        url: String,
        /// The user that was refused.
        user: String,
    },
    /// The virtual host does not exist, the user may not enter it, or a limit of either is reached.
    #[error(
        "broker {url} refused virtual host {vhost:?} ({reason}): create it, grant the user access or \
         raise the limit"
    )]
    VhostRefused {
        /// The URL without its password.
        url: String,
        /// The virtual host that was refused.
        vhost: String,
        /// What the broker said.
        reason: String,
    },
    /// A queue or exchange is missing and this user may not create it.
    #[error("{object} is missing and this user may not create it: grant the permission ({reason})")]
    NotPermitted {
        /// The kind and name of the object.
        object: String,
        /// What the broker said.
        reason: String,
    },
    /// A queue or exchange is missing and the broker does not make it, as where a limit is reached.
    #[error("{object} is missing and the broker does not make it: {reason}")]
    NotMade {
        /// The kind and name of the object.
        object: String,
        /// What the broker said.
        reason: String,
    },
    /// The broker did not answer in time.
    #[error("broker did not answer within {} s to {operation}", .limit.as_secs_f32())]
    Deadline {
        /// What it was asked for.
        operation: &'static str,
        /// How long it had.
        limit: Duration,
    },
    /// The connection or channel ended: what belonged to it is void, a new session is needed.
    #[error("broker session is over: {0}")]
    SessionOver(String),
}

impl BrokerError {
    /// Whether a new attempt can succeed without a change of configuration on our side.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        !matches!(
            self,
            Self::InvalidUrl { .. } | Self::NoUrl | Self::InvalidPrefix(_)
        )
    }
}

impl From<lapin::Error> for BrokerError {
    fn from(error: lapin::Error) -> Self {
        Self::SessionOver(crate::connection::describe(&error))
    }
}

/// Why a published message is not known to be kept by the broker.
///
/// After [`NotKept::Deadline`] and [`NotKept::Blocked`] the broker may still have it, or get it
/// later. Publishing the same event or task again is safe: its id makes it count once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum NotKept {
    /// No confirm came in time.
    #[error("the broker did not confirm it in time")]
    Deadline,
    /// The broker refused it, several times over: most likely its queue is full.
    #[error("the broker refused it; its queue may be full")]
    Nacked,
    /// The broker takes no messages now because its disk or memory is short.
    #[error("the broker takes no messages now")]
    Blocked,
    /// The publisher is shutting down.
    #[error("the publisher is closed")]
    Closed,
}
