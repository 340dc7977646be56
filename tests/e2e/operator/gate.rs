//! A server's address that the test can open and close.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::thread;

/// What a gate does with those who come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Turns them away at once.
    Refuse,
    /// Lets them in and never says a word.
    Silent,
    /// Leads them to the server.
    Open,
}

/// An address in front of a server. Held by a thread until the process ends.
pub(super) struct Gate {
    pub(super) address: SocketAddr,
    state: Arc<State>,
}

struct State {
    mode: AtomicU8,
    knocks: AtomicU32,
}

impl Gate {
    /// A gate in front of the server at `target`.
    pub(super) fn new(target: &str, mode: Mode) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let state = Arc::new(State {
            mode: AtomicU8::new(mode as u8),
            knocks: AtomicU32::new(0),
        });
        let (shared, target) = (Arc::clone(&state), target.to_owned());
        thread::spawn(move || {
            let mut held = Vec::new();
            for visitor in listener.incoming().map_while(Result::ok) {
                let mode = shared.mode.load(Ordering::SeqCst);
                shared.knocks.fetch_add(1, Ordering::SeqCst);
                if mode == Mode::Silent as u8 {
                    held.push(visitor);
                } else if mode == Mode::Open as u8 {
                    lead(visitor, &target);
                }
            }
        });
        Self { address, state }
    }

    /// Changes what happens to those who come from now on.
    pub(super) fn set(&self, mode: Mode) {
        self.state.mode.store(mode as u8, Ordering::SeqCst);
    }

    /// How often somebody came.
    pub(super) fn knocks(&self) -> u32 {
        self.state.knocks.load(Ordering::SeqCst)
    }

    /// `url` with this gate's address in place of the server's.
    pub(super) fn before(&self, url: &str) -> String {
        url.replace(host_of(url), &self.address.to_string())
    }
}

/// The host and port in a URL.
pub(super) fn host_of(url: &str) -> &str {
    let authority = url.split("://").nth(1).unwrap_or(url);
    let authority = authority.split(['/', '?']).next().unwrap_or(authority);
    authority.rsplit('@').next().unwrap_or(authority)
}

fn lead(visitor: TcpStream, target: &str) {
    let Ok(server) = TcpStream::connect(target) else {
        return;
    };
    let twins = (visitor.try_clone(), server.try_clone());
    let (Ok(visitor_twin), Ok(server_twin)) = twins else {
        return;
    };
    thread::spawn(move || pass(visitor, server));
    thread::spawn(move || pass(server_twin, visitor_twin));
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    let mut chunk = [0; 16_384];
    let mut step = || -> io::Result<bool> {
        let length = from.read(&mut chunk)?;
        to.write_all(&chunk[..length])?;
        Ok(length > 0)
    };
    while step().unwrap_or(false) {}
    // Either may have closed it already.
    let _ = to.shutdown(Shutdown::Both);
}
