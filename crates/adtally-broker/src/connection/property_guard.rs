//! Keeps from the client library the message properties that it cannot decode.
//!
//! - The library decodes nested tables recursively, without a bound (`parsing.rs` of amq-protocol-types
//!   10.6). A message with some thousand levels overflows its stack and ends the process.
//! - A name that is not UTF-8 ends the connection.
//!
//! The broker accepts both, and would deliver such a message again and again, to one worker after the
//! other. Here the message loses its properties on the way in; its body alone decides then.
//!
//! This can go once the library bounds its recursion, as rabbitmq-c has since its pull request 763.

mod decodable;
mod frame_splitter;

use std::future::Future;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use async_rs::traits::Reactor;
use async_rs::util::RuntimeParts;
use async_rs::{Runtime, Tokio};
use futures_util::io::{AsyncRead, AsyncWrite};
use lapin::tcp::AsyncTcpStream;
use tokio::runtime::Handle;

use frame_splitter::FrameSplitter;

/// Bytes read at once.
const CHUNK: usize = 64 * 1_024;

/// What tokio connects to, plain or by TLS.
pub(super) type Stream = AsyncTcpStream<<Tokio as Reactor>::TcpStream>;

/// The runtime of connections whose streams are guarded.
pub(super) type GuardedRuntime = Runtime<RuntimeParts<Tokio, GuardedReactor>>;

/// Tokio's runtime, whose connections are guarded.
pub(super) fn runtime() -> GuardedRuntime {
    let reactor = GuardedReactor(Tokio::current());
    Runtime::new(RuntimeParts::new(Tokio::current(), reactor))
}

/// A stream from the broker whose message properties can all be decoded.
pub(crate) struct PropertyGuard {
    /// Until it is dropped.
    inner: Option<Stream>,
    /// The runtime that the stream belongs to.
    runtime: Handle,
    chunk: Box<[u8]>,
    splitter: FrameSplitter,
    /// Checked bytes for the library, of which it has read the first `taken`.
    checked: Vec<u8>,
    taken: usize,
}

impl PropertyGuard {
    /// Must be called within the stream's runtime.
    pub(super) fn new(inner: Stream) -> Self {
        Self {
            inner: Some(inner),
            runtime: Handle::current(),
            chunk: vec![0; CHUNK].into(),
            splitter: FrameSplitter::default(),
            checked: Vec::new(),
            taken: 0,
        }
    }

    fn inner(&mut self) -> io::Result<Pin<&mut Stream>> {
        let inner = self.inner.as_mut().map(Pin::new);
        inner.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Copies what is ready to `to`. Says how many bytes, 0 when nothing is ready.
    fn copy_ready(&mut self, to: &mut [u8]) -> usize {
        let ready = self.checked.get(self.taken..).unwrap_or_default();
        let length = ready.len().min(to.len());
        if let (Some(to), Some(from)) = (to.get_mut(..length), ready.get(..length)) {
            to.copy_from_slice(from);
        }
        self.taken += length;
        if self.taken == self.checked.len() {
            self.checked.clear();
            self.taken = 0;
        }
        length
    }
}

impl AsyncRead for PropertyGuard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        to: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        loop {
            let length = this.copy_ready(to);
            if length > 0 || to.is_empty() {
                return Poll::Ready(Ok(length));
            }
            let Some(inner) = &mut this.inner else {
                return Poll::Ready(Ok(0));
            };
            let read = Pin::new(inner).poll_read(context, &mut this.chunk);
            let length = ready!(read)?;
            if length == 0 {
                return Poll::Ready(Ok(0));
            }
            let chunk = this.chunk.get(..length).unwrap_or_default();
            this.splitter.pass(chunk, &mut this.checked);
        }
    }
}

impl AsyncWrite for PropertyGuard {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.inner()?.poll_write(context, from)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.inner()?.poll_write_vectored(context, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner()?.poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner()?.poll_close(context)
    }
}

/// The client library drops its stream on a thread of its own. Outside of a runtime, the stream's adapter
/// would start another one for that, for good; and where no descriptor is left it would panic, then
/// and at each later end of a connection.
impl Drop for PropertyGuard {
    fn drop(&mut self) {
        let _entered = self.runtime.enter();
        drop(self.inner.take());
    }
}

/// Tokio's reactor with another type of stream.
#[derive(Debug, Clone)]
pub(crate) struct GuardedReactor(Tokio);

impl Reactor for GuardedReactor {
    type TcpStream = PropertyGuard;
    type Sleep = <Tokio as Reactor>::Sleep;

    fn register<H: Read + Write + AsFd + AsRawFd + Send + 'static>(
        &self,
        socket: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        self.0.register(socket)
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.0.sleep(duration)
    }

    fn interval(
        &self,
        duration: Duration,
    ) -> impl futures_util::Stream<Item = Instant> + Send + 'static {
        self.0.interval(duration)
    }

    fn tcp_connect_addr(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<PropertyGuard>> + Send + 'static {
        let connecting = self.0.tcp_connect_addr(address);
        async move { Ok(PropertyGuard::new(AsyncTcpStream::Plain(connecting.await?))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of this process's threads.
    fn threads() -> Vec<String> {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        let names = tasks.filter_map(|task| {
            let name = std::fs::read_to_string(task.ok()?.path().join("comm")).ok()?;
            Some(name.trim().to_owned())
        });
        names.collect()
    }

    #[tokio::test]
    async fn a_stream_that_ends_on_another_thread_needs_no_other_runtime() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let reactor = GuardedReactor(Tokio::current());
        let stream = reactor.tcp_connect_addr(address).await.unwrap();
        let (mut accepted, _) = listener.accept().await.unwrap();
        std::thread::spawn(move || drop(stream)).join().unwrap();
        let read = tokio::io::AsyncReadExt::read(&mut accepted, &mut [0]).await;
        assert_eq!(read.unwrap(), 0, "it is still open");
        let threads = threads();
        let other = threads.iter().find(|name| name.starts_with("async-compat"));
        assert_eq!(other, None, "{threads:?}");
    }
}
