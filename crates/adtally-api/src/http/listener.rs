//! Where the API listens: on a socket of its own, or on one that systemd holds for it while it restarts.

use std::net::{SocketAddr, TcpListener};

use adtally_service::{ExitKind, Failure};
use listenfd::ListenFd;

/// How many connections may wait to be taken.
const BACKLOG: i32 = 4_096;

/// A socket that listens.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) socket: TcpListener,
    /// Its address.
    pub(crate) address: SocketAddr,
    /// systemd holds it too: clients that connect while no process serves wait for the next one.
    pub(crate) is_inherited: bool,
}

impl Listener {
    /// The socket that was handed over (`LISTEN_FDS`), else a new one on `bind`. From now on connections
    /// wait to be taken.
    ///
    /// # Errors
    /// [`ExitKind::Unavailable`] when `bind` cannot be listened on, [`ExitKind::Configuration`] for sockets
    /// that are handed over and cannot be served.
    pub(crate) fn open(bind: SocketAddr) -> Result<Self, Failure> {
        let inherited = inherited(&mut ListenFd::from_env())?;
        let is_inherited = inherited.is_some();
        let socket = match inherited {
            Some(socket) => Ok(socket),
            None => TcpListener::bind(bind).and_then(|socket| {
                rustix::net::listen(&socket, BACKLOG)?;
                Ok(socket)
            }),
        };
        let opened = socket.and_then(|socket| {
            let address = socket.local_addr()?;
            Ok(Self {
                socket,
                address,
                is_inherited,
            })
        });
        opened.map_err(|error| Failure {
            kind: ExitKind::Unavailable,
            message: format!("cannot listen on {bind}: {error}; choose another --bind"),
        })
    }
}

fn inherited(sockets: &mut ListenFd) -> Result<Option<TcpListener>, Failure> {
    if sockets.len() > 1 {
        return Err(Failure::configuration(format!(
            "LISTEN_FDS: {} sockets are handed over; the API serves one, so keep one ListenStream=",
            sockets.len()
        )));
    }
    if sockets.len() == 0 {
        return Ok(None);
    }
    sockets.take_tcp_listener(0).map_err(|error| {
        Failure::configuration(format!(
            "LISTEN_FDS: what is handed over is no listening TCP socket: {error}"
        ))
    })
}
