//! Sockets that do what no proper client does.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use adtally_tests::http::{self, Response};

/// No answer may take longer, and no connection that is to be closed may stay open longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// What came back over one connection.
#[derive(Debug)]
pub(super) struct Heard {
    /// The whole answers, in order.
    pub(super) answers: Vec<Response>,
    /// Whether the server closed the connection, by end or by reset.
    pub(super) closed: bool,
}

impl Heard {
    /// The statuses of the answers.
    pub(super) fn statuses(&self) -> Vec<u16> {
        self.answers.iter().map(|answer| answer.status).collect()
    }
}

/// A connection to say anything over.
pub(super) struct Wire {
    stream: TcpStream,
    heard: Vec<u8>,
}

impl Wire {
    pub(super) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).expect("the server listens");
        stream.set_nodelay(true).expect("a socket");
        stream.set_write_timeout(Some(PATIENCE)).expect("a socket");
        Self {
            stream,
            heard: Vec::new(),
        }
    }

    /// Sends `bytes`; false when the server has closed the connection before it took them all.
    pub(super) fn say(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Says that nothing more will be sent, and goes on listening.
    pub(super) fn finish_speaking(&self) {
        // A connection the server has reset is finished anyway.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Listens until the server closes.
    ///
    /// # Panics
    /// When it does not within half a minute.
    pub(super) fn until_closed(mut self) -> Heard {
        let closed = self.listen(PATIENCE, |_| false);
        let answers = answers(&self.heard);
        assert!(
            closed,
            "still open after {PATIENCE:?}, heard {:?}",
            answers
                .iter()
                .map(|answer| answer.status)
                .collect::<Vec<_>>()
        );
        Heard { answers, closed }
    }

    /// Listens until there are `count` answers or the server closes.
    pub(super) fn until_answered(mut self, count: usize) -> Heard {
        let closed = self.listen(PATIENCE, |heard| answers(heard).len() >= count);
        Heard {
            answers: answers(&self.heard),
            closed,
        }
    }

    /// Whether the server has answered or closed by now.
    pub(super) fn is_over(&mut self) -> bool {
        self.listen(Duration::from_millis(1), |heard| !answers(heard).is_empty())
            || !answers(&self.heard).is_empty()
    }

    fn listen(&mut self, limit: Duration, enough: impl Fn(&[u8]) -> bool) -> bool {
        let deadline = Instant::now() + limit;
        let mut chunk = [0; 16_384];
        while !enough(&self.heard) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            self.stream.set_read_timeout(Some(left)).expect("a socket");
            match self.stream.read(&mut chunk) {
                Ok(0) => return true,
                Ok(length) => self.heard.extend_from_slice(&chunk[..length]),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return true,
                Err(_) => {}
            }
        }
        false
    }

    /// Ends the connection by a reset, once the server has answered something: closing a socket
    /// whose answers were never read resets it.
    pub(super) fn reset(self) {
        self.stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a socket");
        let unread = self.stream.peek(&mut [0]);
        assert!(
            matches!(unread, Ok(1)),
            "nothing to leave unread: {unread:?}"
        );
    }
}

/// Sends `bytes` as they are and listens until the server closes.
pub(super) fn exchange(address: SocketAddr, bytes: &[u8]) -> Heard {
    let mut wire = Wire::connect(address);
    wire.say(bytes);
    wire.until_closed()
}

/// Sends `bytes`, then only listens, until the server closes.
pub(super) fn half_closed(address: SocketAddr, bytes: &[u8]) -> Heard {
    let mut wire = Wire::connect(address);
    wire.say(bytes);
    wire.finish_speaking();
    wire.until_closed()
}

/// The whole answers in `heard`.
fn answers(mut heard: &[u8]) -> Vec<Response> {
    let mut answers = Vec::new();
    while let Some(end) = end_of_answer(heard) {
        let (answer, rest) = heard.split_at(end);
        answers.extend(http::parse(answer.to_vec()));
        heard = rest;
    }
    answers
}

/// Where the first answer ends. Our servers say the length of each answer with a body.
fn end_of_answer(heard: &[u8]) -> Option<usize> {
    let head = heard.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let answer = http::parse(heard.get(..head)?.to_vec())?;
    let length = match answer.header("content-length") {
        Some(length) => length.parse().ok()?,
        None => 0,
    };
    (heard.len() >= head + length).then_some(head + length)
}
