//! A TCP proxy that does what networks do at night.

use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use adtally_devstack::free_port;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::until;

/// Chunks on their way through the proxy for each direction of a connection, and as many bytes again in a
/// hole. More makes its sender wait, as a full pipe would.
const IN_FLIGHT: usize = 64;

/// The most bytes of a chunk.
const CHUNK: usize = 16 * 1024;

/// What the proxy does to traffic. It takes effect at once, on open connections as well.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    /// Nothing: bytes pass.
    Pass,
    /// Nobody listens, and open connections are reset.
    Refuse,
    /// Bytes of these directions vanish until the fault is over, when they arrive after all.
    Hole(Way),
    /// Open connections are reset; new ones pass.
    Reset,
    /// A connection is reset after so many more bytes to the server.
    CutAfter(u64),
    /// The server's side is closed as if the client had said all it has to say.
    HalfClose,
    /// Every byte takes so much longer in each direction.
    Delay(Duration),
    /// At most so many bytes pass each second in each direction.
    Throttle(u64),
}

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
    /// Both.
    Both,
}

impl Fault {
    fn holds(self, way: Way) -> bool {
        matches!(self, Self::Hole(hole) if hole == way || hole == Way::Both)
    }

    fn delay(self) -> Duration {
        match self {
            Self::Delay(delay) => delay,
            _ => Duration::ZERO,
        }
    }
}

/// What happened in a proxy.
#[derive(Default)]
struct Seen {
    resets: AtomicU64,
    /// What was sent into a hole since the fault began.
    held: Mutex<Vec<u8>>,
}

impl Seen {
    fn held(&self) -> MutexGuard<'_, Vec<u8>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A proxy in front of one server.
pub struct Proxy {
    address: SocketAddr,
    fault: watch::Sender<Fault>,
    seen: Arc<Seen>,
    // Last: its tasks end with it.
    _runtime: Runtime,
}

impl Proxy {
    /// A proxy on a free port in front of `server`.
    ///
    /// # Panics
    /// When there is no free port.
    #[must_use]
    pub fn before(server: SocketAddr) -> Self {
        // Its own while it refuses, too: not a port the kernel may give to another.
        let port = free_port().expect("a free port");
        Self::at(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), server)
    }

    /// A proxy at `address` in front of `server`.
    ///
    /// # Panics
    /// When the address is taken.
    #[must_use]
    pub fn at(address: SocketAddr, server: SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = runtime
            .block_on(TcpListener::bind(address))
            .expect("an address that nobody has");
        let (fault, faults) = watch::channel(Fault::Pass);
        let seen = Arc::default();
        runtime.spawn(serve(listener, address, server, faults, Arc::clone(&seen)));
        Self {
            address,
            fault,
            seen,
            _runtime: runtime,
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `url` with the proxy's address in place of the server's.
    #[must_use]
    pub fn url(&self, url: &str, server: SocketAddr) -> String {
        url.replace(&server.to_string(), &self.address.to_string())
    }

    /// Begins a fault, or ends it with [`Fault::Pass`].
    pub fn set(&self, fault: Fault) {
        self.seen.held().clear();
        self.fault.send_replace(fault);
    }

    /// How many connections it has reset so far.
    #[must_use]
    pub fn resets(&self) -> u64 {
        self.seen.resets.load(Ordering::Relaxed)
    }

    /// Waits until somebody has sent these bytes into the hole that [`Proxy::set`] began.
    ///
    /// # Panics
    /// When nobody has within a minute.
    pub fn until_held(&self, what: &str, bytes: &[u8]) {
        until(what, || {
            let held = self.seen.held();
            let is_held = held.windows(bytes.len()).any(|window| window == bytes);
            is_held.then_some(())
        });
    }
}

async fn serve(
    listener: TcpListener,
    address: SocketAddr,
    server: SocketAddr,
    mut faults: watch::Receiver<Fault>,
    seen: Arc<Seen>,
) {
    let mut listener = Some(listener);
    let mut connections = JoinSet::new();
    loop {
        let refuses = *faults.borrow_and_update() == Fault::Refuse;
        if refuses {
            listener = None;
        } else if listener.is_none() {
            listener = TcpListener::bind(address).await.ok();
        }
        let accepted = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None if refuses => std::future::pending().await,
                // Its port is still in use by what was reset just now.
                None => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    Err(std::io::ErrorKind::AddrInUse.into())
                }
            }
        };
        tokio::select! {
            Ok((client, _)) = accepted => {
                connections.spawn(connect(client, server, faults.clone(), Arc::clone(&seen)));
            }
            changed = faults.changed() => if changed.is_err() { return },
            Some(_) = connections.join_next() => {}
            else => {}
        }
    }
}

async fn connect(
    client: TcpStream,
    server: SocketAddr,
    mut faults: watch::Receiver<Fault>,
    seen: Arc<Seen>,
) {
    // Where only answers vanish, requests arrive.
    let reachable = faults.wait_for(|fault| !fault.holds(Way::ToServer));
    if reachable.await.is_err() {
        return;
    }
    let Ok(upstream) = TcpStream::connect(server).await else {
        let _ = client.set_zero_linger();
        return;
    };
    for stream in [&client, &upstream] {
        let _ = stream.set_nodelay(true);
    }
    let sent = Arc::new(AtomicU64::new(0));
    let reset = cut(faults.clone(), sent.clone());
    let (client, client_again) = twice(client);
    let (upstream, upstream_again) = twice(upstream);
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = upstream.into_split();
    let up = Pipe {
        way: Way::ToServer,
        faults: faults.clone(),
        passed: sent,
        seen: Arc::clone(&seen),
    };
    let down = Pipe {
        way: Way::ToClient,
        faults,
        passed: Arc::default(),
        seen: Arc::clone(&seen),
    };
    let mut pipes = JoinSet::new();
    pipes.spawn(up.run(from_client, to_server));
    pipes.spawn(down.run(from_server, to_client));
    tokio::select! {
        () = reset => {
            for stream in [&client_again, &upstream_again] {
                let _ = stream.set_zero_linger();
            }
            pipes.shutdown().await;
            seen.resets.fetch_add(1, Ordering::Relaxed);
        }
        () = async { while pipes.join_next().await.is_some() {} } => {}
    }
}

/// Two handles of one connection: whoever holds the second can reset it.
fn twice(stream: TcpStream) -> (TcpStream, TcpStream) {
    let stream = stream.into_std().expect("a connection");
    let again = stream.try_clone().expect("a second handle");
    let registered = |stream| TcpStream::from_std(stream).expect("a connection");
    (registered(stream), registered(again))
}

/// Returns when the connection is to be reset.
async fn cut(mut faults: watch::Receiver<Fault>, sent: Arc<AtomicU64>) {
    // A reset meant for those that were open does not end the ones that come after it.
    faults.mark_unchanged();
    loop {
        if faults.changed().await.is_err() {
            return;
        }
        let fault = *faults.borrow_and_update();
        match fault {
            Fault::Reset | Fault::Refuse => return,
            Fault::CutAfter(bytes) => {
                let limit = sent.load(Ordering::Relaxed) + bytes;
                while sent.load(Ordering::Relaxed) < limit {
                    if faults.has_changed().unwrap_or(true) {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                if sent.load(Ordering::Relaxed) >= limit {
                    return;
                }
            }
            _ => {}
        }
    }
}

/// One direction of a connection.
struct Pipe {
    way: Way,
    faults: watch::Receiver<Fault>,
    passed: Arc<AtomicU64>,
    seen: Arc<Seen>,
}

impl Pipe {
    async fn run(self, mut from: OwnedReadHalf, to: OwnedWriteHalf) {
        let (chunks, due) = mpsc::channel(IN_FLIGHT);
        let faults = self.faults.clone();
        let way = self.way;
        let reading = async move {
            let mut closing = faults.clone();
            let half_closed = async {
                let is_closed = |fault: &Fault| *fault == Fault::HalfClose;
                if way != Way::ToServer || closing.wait_for(is_closed).await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            let copying = async {
                let mut buffer = vec![0; CHUNK];
                while let Ok(read @ 1..) = from.read(&mut buffer).await {
                    let at = Instant::now() + faults.borrow().delay();
                    let chunk = buffer.get(..read).unwrap_or_default().to_vec();
                    if chunks.send((at, chunk)).await.is_err() {
                        return;
                    }
                }
            };
            tokio::select! {
                () = half_closed => {}
                () = copying => {}
            }
        };
        tokio::join!(reading, self.write(to, due));
    }

    async fn write(self, mut to: OwnedWriteHalf, mut due: mpsc::Receiver<(Instant, Vec<u8>)>) {
        while let Some((at, mut chunk)) = due.recv().await {
            tokio::time::sleep_until(at.into()).await;
            if self.faults.borrow().holds(self.way) {
                let Some(held) = self.hold(chunk, &mut due).await else {
                    return;
                };
                chunk = held;
            }
            if !self.pass(&mut to, &chunk).await {
                return;
            }
        }
        let _ = to.shutdown().await;
    }

    /// Holds back what comes until the hole is over; all of it, unless it is lost.
    async fn hold(
        &self,
        mut held: Vec<u8>,
        due: &mut mpsc::Receiver<(Instant, Vec<u8>)>,
    ) -> Option<Vec<u8>> {
        let way = self.way;
        let mut faults = self.faults.clone();
        let mut over = pin!(faults.wait_for(|fault| !fault.holds(way)));
        self.seen.held().extend_from_slice(&held);
        loop {
            tokio::select! {
                fault = &mut over => {
                    // What was on its way when the connection was reset never arrives.
                    let is_lost = matches!(*fault.ok()?, Fault::Reset | Fault::Refuse);
                    return (!is_lost).then_some(held);
                }
                Some((_, chunk)) = due.recv(), if held.len() < IN_FLIGHT * CHUNK => {
                    self.seen.held().extend_from_slice(&chunk);
                    held.extend(chunk);
                }
            }
        }
    }

    async fn pass(&self, to: &mut OwnedWriteHalf, chunk: &[u8]) -> bool {
        for piece in chunk.chunks(1024) {
            let fault = *self.faults.borrow();
            if let Fault::Throttle(rate) = fault {
                let share = piece.len() as f64 / rate.max(1) as f64;
                tokio::time::sleep(Duration::from_secs_f64(share)).await;
            }
            if to.write_all(piece).await.is_err() {
                return false;
            }
            self.passed.fetch_add(piece.len() as u64, Ordering::Relaxed);
        }
        true
    }
}
