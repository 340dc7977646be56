//! A connection, looked at on its way to actix.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use super::HeadLimits;
use super::connections::{ConnectionGuard, RequestTracker};
use super::refused::{Refusals, Refused};
use super::requests::{Fault, Requests};
use super::target;
use super::turns::Turns;

/// Bounds the head of every request in bytes and in time, and encodes what a request line may not hold.
pub(super) struct Connection {
    io: TcpStream,
    limits: HeadLimits,
    refusals: Refusals,
    requests: Requests,
    guard: ConnectionGuard,
    turns: Turns,
    /// What was read and not handed on, as encoding made it longer.
    overflow: Vec<u8>,
    /// Runs while a part of a head is there, or nothing yet: for the head after so many.
    deadline: Option<(u64, Pin<Box<Sleep>>)>,
    /// What is wrong with what came behind requests that are to be answered first.
    later: Option<Refused>,
    /// Nothing is handed on any more.
    is_refused: bool,
}

impl Connection {
    pub(super) fn new(
        io: TcpStream,
        guard: ConnectionGuard,
        turns: Turns,
        limits: HeadLimits,
        refusals: Refusals,
    ) -> Self {
        Self {
            io,
            limits,
            refusals,
            requests: Requests::default(),
            guard,
            turns,
            overflow: Vec::new(),
            deadline: None,
            later: None,
            is_refused: false,
        }
    }

    /// Tells the connection which requests were answered.
    pub(super) fn tracker(&self) -> RequestTracker {
        self.guard.tracker()
    }

    /// Looks at what was read into `buffer` behind `start`.
    fn look(&mut self, buffer: &mut ReadBuf<'_>, start: usize) -> Result<(), Refused> {
        let (before, read) = buffer.filled().split_at(start);
        debug_assert_eq!(before.len(), start);
        // Behind the request before, and not in the middle of its body.
        let is_encodable = self.requests.is_at_request_line() && self.guard.is_idle();
        let heads = self.requests.complete_heads();
        let followed = self.requests.follow(read, self.limits.bytes);
        self.guard
            .add_requests(self.requests.complete_heads() - heads);
        let mut sound = read;
        if let Err(faulty) = followed {
            let refused = match faulty.fault {
                Fault::BareLineFeed => Refused::BareLineFeed,
                Fault::HeadTooLarge => Refused::HeadTooLarge,
                Fault::ChunkSize => Refused::Header,
            };
            if faulty.sound == 0 {
                return Err(refused);
            }
            self.later = Some(refused);
            sound = read.get(..faulty.sound).unwrap_or_default();
        }
        let length = sound.len();
        match is_encodable.then(|| encoded(sound)).flatten() {
            Some(encoded) => {
                buffer.set_filled(start);
                self.overflow = encoded;
                self.hand_on(buffer);
            }
            None => buffer.set_filled(start + length),
        }
        Ok(())
    }

    /// Moves as much of the overflow into `buffer` as it takes.
    fn hand_on(&mut self, buffer: &mut ReadBuf<'_>) {
        let fits = self.overflow.len().min(buffer.remaining());
        let handed: Vec<u8> = self.overflow.drain(..fits).collect();
        buffer.put_slice(&handed);
    }

    /// Whether a head is late: called when nothing is there to be read.
    fn is_late(&mut self, context: &mut Context<'_>) -> bool {
        let heads = self.requests.complete_heads();
        if heads > 0 && !self.requests.is_inside_head() {
            self.deadline = None;
            return false;
        }
        let time = self.limits.time;
        let of_this_head = self.deadline.take_if(|(earlier, _)| *earlier == heads);
        let (_, deadline) = self
            .deadline
            .insert(of_this_head.unwrap_or_else(|| (heads, Box::pin(sleep(time)))));
        deadline.as_mut().poll(context).is_ready()
    }

    /// Ends the connection for actix, once the client was told why.
    fn refuse(&mut self, refused: Refused, context: &mut Context<'_>) {
        self.is_refused = true;
        self.refusals.count(refused);
        // While an answer is on its way, another would mix with it.
        if self.guard.is_idle() {
            let answer = refused.answer();
            let _best_effort = Pin::new(&mut self.io).poll_write(context, answer.as_bytes());
        }
    }
}

/// `read` with its first request line encoded; `None` when it may stay as it is.
fn encoded(read: &[u8]) -> Option<Vec<u8>> {
    let is_blank = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let blank = read.iter().take_while(|byte| is_blank(byte)).count();
    let end = memchr::memchr(b'\n', read.get(blank..)?).map_or(read.len(), |end| blank + end + 1);
    let (line, rest) = read.split_at(end);
    target::encoded(line).map(|line| [&line, rest].concat())
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.is_refused || this.guard.is_closed() {
            return Poll::Ready(Ok(()));
        }
        if !this.overflow.is_empty() {
            this.hand_on(buffer);
            return Poll::Ready(Ok(()));
        }
        if let Some(refused) = this.later {
            if !this.guard.is_idle() {
                this.guard.wake_on_idle(context.waker());
                return Poll::Pending;
            }
            // The end of the last answer may still be on its way, so that none of ours may follow.
            this.is_refused = true;
            this.refusals.count(refused);
            return Poll::Ready(Ok(()));
        }
        if !this.turns.may_go_on(context.waker()) {
            return Poll::Pending;
        }
        let start = buffer.filled().len();
        let read = Pin::new(&mut this.io).poll_read(context, buffer);
        if read.is_pending() {
            this.turns.is_over();
            this.guard.wake_on_close(context.waker());
        }
        this.turns.took(buffer.filled().len() - start);
        let refused = match &read {
            Poll::Pending if this.is_late(context) => {
                // What only ended the request before waits for no answer.
                if this.requests.has_only_blank_lines() {
                    this.is_refused = true;
                    return Poll::Ready(Ok(()));
                }
                Some(Refused::HeadTimeout)
            }
            Poll::Ready(Ok(())) => this.look(buffer, start).err(),
            _ => None,
        };
        match refused {
            Some(refused) => {
                buffer.set_filled(start);
                this.refuse(refused, context);
                Poll::Ready(Ok(()))
            }
            None => read,
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
