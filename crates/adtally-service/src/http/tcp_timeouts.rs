//! Timeouts of the kernel: for clients that disconnected silently, or do not read what they are sent.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::net::sockopt::{
    set_socket_keepalive, set_tcp_keepidle, set_tcp_keepintvl, set_tcp_user_timeout,
};
use tokio::net::TcpStream;

/// How long a client may take to acknowledge, or to read, what it is sent.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Sets keepalive and user timeout. The kernel then ends a connection whose client disappeared, or has read
/// nothing of its answer for a minute; actix waits for both without end.
///
/// A client that reads its answer byte by byte is not ended. It holds one of `--max-connections`; a proxy in
/// front may be stricter.
pub(super) fn set(connection: &TcpStream) {
    if let Err(error) = try_set(TIMEOUT, connection) {
        log::debug!("a client that disconnects will be noticed late: {error}");
    }
}

fn try_set(timeout: Duration, connection: impl AsFd) -> io::Result<()> {
    let millis = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
    set_tcp_user_timeout(&connection, millis)?;
    // The probes of an idle connection, which the user timeout ends as well.
    set_tcp_keepidle(&connection, timeout / 2)?;
    set_tcp_keepintvl(&connection, timeout / 4)?;
    set_socket_keepalive(&connection, true)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_client_that_never_reads_is_cut_off() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        try_set(Duration::from_secs(4), &server).unwrap();
        // This ends the wait with another error.
        server
            .set_write_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let error = loop {
            if let Err(error) = server.write(&[0; 1 << 16]) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    }

    #[tokio::test]
    async fn connections_are_bounded() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let client = super::TcpStream::connect(address).await.unwrap();
        set(&client);
        let set = rustix::net::sockopt::tcp_user_timeout(&client).unwrap();
        assert_eq!(set, 60_000);
    }
}
