//! One connection, every call on it under a deadline.

mod property_guard;

use std::future::Future;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};
use lapin::tcp::{AMQPUriTcpExt, AsyncTcpStream};
use lapin::types::ShortString;
use lapin::uri::AMQPUri;
use lapin::{Channel, Connection, ConnectionProperties, ErrorKind};

use property_guard::PropertyGuard;

use crate::BrokerError;
use crate::config::{BrokerConfig, BrokerUrl};

/// How long the broker has for any one answer.
pub(crate) const CALL_LIMIT: Duration = Duration::from_secs(5);
/// How long it has to close a connection.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// A connection without automatic recovery: once it fails, everything made on it is void.
#[derive(Clone)]
pub(crate) struct Link {
    connection: Arc<Connection>,
    socket: Socket,
}

impl Link {
    /// Tries each URL once, beginning with number `first` (counted past the end from the start).
    pub(crate) async fn open(config: &BrokerConfig, first: usize) -> Result<Self, BrokerError> {
        let count = config.urls.len();
        let mut failures = Vec::new();
        for position in (0..count).map(|step| (first + step) % count) {
            let Some(url) = config.urls.get(position) else {
                continue;
            };
            match Self::open_one(config, url).await {
                Ok(link) => return Ok(link),
                Err(error) => failures.push((position, error)),
            }
        }
        // A broker that answers, if only to refuse us, tells more than one that is away. The order
        // of the configuration decides between equals, so that the report stays the same.
        failures.sort_by_key(|(position, error)| {
            (matches!(error, BrokerError::Unreachable { .. }), *position)
        });
        Err(failures
            .into_iter()
            .next()
            .map_or(BrokerError::NoUrl, |(_, error)| error))
    }

    async fn open_one(config: &BrokerConfig, url: &BrokerUrl) -> Result<Self, BrokerError> {
        let properties = ConnectionProperties::default()
            .with_connection_name(config.connection_name.as_bytes().into())
            .with_client_property(short("product"), "AdTally".into())
            .with_client_property(short("version"), env!("CARGO_PKG_VERSION").into());
        let socket = Socket::default();
        let connecting = connect(url.uri.clone(), properties, socket.clone());
        match tokio::time::timeout(CALL_LIMIT, connecting).await {
            Ok(Ok(connection)) => Ok(Self {
                connection: Arc::new(connection),
                socket,
            }),
            Ok(Err(error)) => Err(connect_error(url, &error)),
            Err(_) => {
                socket.shut();
                let reason = format!("no answer within {} s", CALL_LIMIT.as_secs());
                Err(BrokerError::Unreachable {
                    url: url.to_string(),
                    reason,
                })
            }
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

    /// Runs one call under the deadline. A connection that misses it is of no use any more.
    pub(crate) async fn call<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = T>,
    ) -> Result<T, BrokerError> {
        within(operation, call)
            .await
            .inspect_err(|_| self.abandon())
    }

    /// Closes the connection in order, so that the broker does not log a lost one. Never waits long.
    pub(crate) async fn close(&self) {
        let close = self.connection.close(200, short("closing"));
        if !matches!(tokio::time::timeout(CLOSE_LIMIT, close).await, Ok(Ok(()))) {
            log::debug!("broker connection ended without a goodbye");
            self.abandon();
        }
    }

    /// Shuts the socket down. The client library would wait for the broker's answer to a close for ever,
    /// and keep a thread and a socket so long.
    pub(crate) fn abandon(&self) {
        self.socket.shut();
    }
}

/// A second handle on a connection's socket.
#[derive(Clone, Default)]
struct Socket(Arc<OnceLock<TcpStream>>);

impl Socket {
    fn set(&self, socket: &impl AsFd) {
        if let Ok(twin) = socket.as_fd().try_clone_to_owned() {
            let _ = self.0.set(twin.into());
        }
    }

    fn shut(&self) {
        if let Some(socket) = self.0.get() {
            // It may be closed already, which is as good.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

async fn connect(
    uri: AMQPUri,
    properties: ConnectionProperties,
    socket: Socket,
) -> lapin::Result<Connection> {
    Connection::connector(
        uri,
        property_guard::runtime(),
        async move |uri, _| {
            let runtime = lapin::runtime::default_runtime()?;
            let stream = AMQPUriTcpExt::connect_async(&uri, &runtime).await?;
            match &stream {
                AsyncTcpStream::Plain(plain) => socket.set(plain.get_ref()),
                AsyncTcpStream::Rustls(tls) => socket.set(tls.get_ref().0.get_ref()),
                // No other kind is built in.
                _ => {}
            }
            Ok(AsyncTcpStream::Plain(PropertyGuard::new(stream)))
        },
        properties,
    )
    .await
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

fn connect_error(url: &BrokerUrl, error: &lapin::Error) -> BrokerError {
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
                    reason: describe(error),
                };
            }
            _ => {}
        }
    }
    BrokerError::Unreachable {
        url: shown,
        reason: describe(error),
    }
}

/// What went wrong, without the library's own preamble.
pub(crate) fn describe(error: &lapin::Error) -> String {
    match error.kind() {
        ErrorKind::IOError(error) => error.to_string(),
        ErrorKind::ProtocolError(refusal) => refusal.get_message().to_string(),
        ErrorKind::ParsingError(_) => {
            "what answers does not speak AMQP; a TLS port needs an amqps:// URL".to_owned()
        }
        _ => error.to_string(),
    }
}

/// A name as AMQP's short string, which holds 255 bytes; longer ones, which no caller has, are
/// cut instead of panicking as the library's own conversion does.
pub(crate) fn short(text: &str) -> ShortString {
    let cut = text
        .get(..text.floor_char_boundary(255))
        .unwrap_or_default();
    ShortString::try_new(cut).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_too_long_for_amqp_is_cut_between_characters() {
        assert_eq!(short("x").as_str(), "x");
        assert_eq!(short(&"é".repeat(200)).as_str(), "é".repeat(127));
    }
}
