//! One connection, every call on it under a deadline.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};
use lapin::types::ShortString;
use lapin::{Channel, Connection, ConnectionProperties, ErrorKind};

use crate::BrokerError;
use crate::config::{BrokerConfig, BrokerUrl};

/// How long the broker has for any one answer.
pub(crate) const CALL_LIMIT: Duration = Duration::from_secs(5);
/// How long it has to say goodbye.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// A connection without automatic recovery: once it fails, everything made on it is void.
#[derive(Clone)]
pub(crate) struct Link {
    connection: Arc<Connection>,
}

impl Link {
    /// Tries each URL once, beginning with number `first` (counted past the end from the start).
    pub(crate) async fn open(config: &BrokerConfig, first: usize) -> Result<Self, BrokerError> {
        let mut failure = BrokerError::NoUrl;
        let count = config.urls.len();
        for url in config
            .urls
            .iter()
            .cycle()
            .skip(first % count.max(1))
            .take(count)
        {
            match Self::open_one(config, url).await {
                Ok(link) => return Ok(link),
                Err(error) => {
                    log::debug!("{error}");
                    failure = error;
                }
            }
        }
        Err(failure)
    }

    async fn open_one(config: &BrokerConfig, url: &BrokerUrl) -> Result<Self, BrokerError> {
        let properties = ConnectionProperties::default()
            .with_connection_name(config.connection_name.as_bytes().into())
            .with_client_property(short("product"), "AdTally".into())
            .with_client_property(short("version"), env!("CARGO_PKG_VERSION").into());
        let connecting = Connection::connect_uri(url.uri.clone(), properties);
        match tokio::time::timeout(CALL_LIMIT, connecting).await {
            Ok(Ok(connection)) => Ok(Self {
                connection: Arc::new(connection),
            }),
            Ok(Err(error)) => Err(refusal(url, &error)),
            Err(_) => Err(BrokerError::Unreachable {
                url: url.to_string(),
                reason: format!("no answer within {} s", CALL_LIMIT.as_secs()),
            }),
        }
    }

    /// The connection's own news. Only one listener gets each of them, so it is asked for once.
    pub(crate) fn events(&self) -> impl futures_util::Stream<Item = lapin::Event> + Send + 'static {
        self.connection.events_listener()
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.connection.status().connected()
    }

    pub(crate) async fn channel(&self) -> Result<Channel, BrokerError> {
        Ok(self
            .call("open a channel", self.connection.create_channel())
            .await??)
    }

    /// Runs one call under the deadline.
    pub(crate) async fn call<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = T>,
    ) -> Result<T, BrokerError> {
        within(operation, call).await
    }

    /// Says goodbye, so that the broker does not log a lost connection. Never waits long.
    pub(crate) async fn close(&self) {
        let goodbye = self.connection.close(200, short("closing"));
        if !matches!(tokio::time::timeout(CLOSE_LIMIT, goodbye).await, Ok(Ok(()))) {
            log::debug!("broker connection ended without a goodbye");
        }
    }
}

/// Runs one broker call under the deadline all of them have.
pub(crate) async fn within<T>(
    operation: &'static str,
    call: impl Future<Output = T>,
) -> Result<T, BrokerError> {
    tokio::time::timeout(CALL_LIMIT, call)
        .await
        .map_err(|_| BrokerError::Deadline {
            operation,
            limit: CALL_LIMIT,
        })
}

fn refusal(url: &BrokerUrl, error: &lapin::Error) -> BrokerError {
    let shown = url.to_string();
    if let ErrorKind::ProtocolError(refusal) = error.kind() {
        match refusal.kind() {
            AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => {
                let user = url.uri.authority.userinfo.username.clone();
                return BrokerError::LoginRefused { url: shown, user };
            }
            AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED) => {
                return BrokerError::VhostRefused {
                    url: shown,
                    vhost: url.uri.vhost.clone(),
                };
            }
            _ => {}
        }
    }
    let reason = match error.kind() {
        ErrorKind::IOError(error) => error.to_string(),
        _ => error.to_string(),
    };
    BrokerError::Unreachable { url: shown, reason }
}

/// A name as AMQP's short string, which holds 255 bytes; longer ones, which no caller has, are
/// cut instead of panicking as the library's own conversion does.
pub(crate) fn short(text: &str) -> ShortString {
    let mut end = text.len().min(255);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    ShortString::try_new(text.get(..end).unwrap_or_default()).unwrap_or_default()
}
