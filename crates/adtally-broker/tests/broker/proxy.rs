//! A wire between us and the broker that can be cut.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What the wire does with what it carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Pass,
    /// Carries nothing, says nothing.
    Swallow,
    /// Ends connections at once.
    Cut,
}

pub(crate) struct Proxy {
    address: SocketAddr,
    mode: Arc<watch::Sender<Mode>>,
    seen: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
}

impl Proxy {
    /// A wire to the port of `target`.
    pub(crate) async fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let proxy = Self {
            address,
            mode: Arc::new(watch::channel(Mode::Pass).0),
            seen: Arc::default(),
            open: Arc::default(),
        };
        let (modes, seen, open) = (proxy.mode.clone(), proxy.seen.clone(), proxy.open.clone());
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (mode, open) = (modes.subscribe(), open.clone());
                seen.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    open.fetch_add(1, Ordering::SeqCst);
                    carry(near, target, mode).await;
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        proxy
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Cuts every connection there is; new ones are carried.
    pub(crate) async fn cut_all(&self) {
        self.set(Mode::Cut);
        crate::harness::eventually("all are cut", async || self.open() == 0).await;
        self.set(Mode::Pass);
    }

    /// How many connections were ever made.
    pub(crate) fn seen(&self) -> usize {
        self.seen.load(Ordering::SeqCst)
    }

    /// How many connections there are.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// `url` with this wire in between.
    pub(crate) fn in_front_of(&self, url: &str) -> String {
        let mut url = url::Url::parse(url).unwrap();
        url.set_port(Some(self.address.port())).unwrap();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.to_string()
    }
}

async fn carry(near: TcpStream, target: u16, mut mode: watch::Receiver<Mode>) {
    if *mode.borrow() == Mode::Cut {
        return;
    }
    let Ok(far) = TcpStream::connect(("127.0.0.1", target)).await else {
        return;
    };
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    tokio::select! {
        () = copy(near_in, far_out, mode.clone()) => {}
        () = copy(far_in, near_out, mode.clone()) => {}
        _ = mode.wait_for(|mode| *mode == Mode::Cut) => {}
    }
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mode: watch::Receiver<Mode>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let is_swallowed = *mode.borrow() == Mode::Swallow;
        if !is_swallowed && to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
