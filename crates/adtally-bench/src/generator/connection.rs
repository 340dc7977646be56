//! One keep-alive connection with at most one request under way.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use mio::net::TcpStream;

/// Longer than any answer to events that are all accepted.
const ANSWER_BYTES: usize = 16 * 1_024;

pub(super) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
    due: Duration,
}

/// What reading came to.
pub(super) enum Progress {
    /// There is more to come.
    Pending,
    /// The request that was due at `due` is answered, and so many of its events are accepted.
    Answered { accepted: u64, due: Duration },
}

impl Connection {
    pub(super) fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = std::net::TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream: TcpStream::from_std(stream),
            buffer: vec![0; ANSWER_BYTES],
            filled: 0,
            due: Duration::ZERO,
        })
    }

    pub(super) fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Sends a request. It fits the socket's buffer, which is empty: the last one is answered.
    pub(super) fn send(&mut self, request: &[u8], due: Duration) -> anyhow::Result<()> {
        self.due = due;
        self.filled = 0;
        self.stream.write_all(request).context("sending a request")
    }

    /// Reads until there is nothing more to read now, or the answer is whole.
    pub(super) fn receive(&mut self) -> anyhow::Result<Progress> {
        loop {
            let room = self.buffer.get_mut(self.filled..).unwrap_or_default();
            match self.stream.read(room) {
                Ok(0) => bail!("the server closed a connection"),
                Ok(bytes) => self.filled += bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Ok(Progress::Pending);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("reading an answer"),
            }
            let read = self.buffer.get(..self.filled).unwrap_or_default();
            if let Some(accepted) = accepted(read)? {
                return Ok(Progress::Answered {
                    accepted,
                    due: self.due,
                });
            }
        }
    }
}

/// How many events an answer accepts; `None` while it is not whole.
fn accepted(bytes: &[u8]) -> anyhow::Result<Option<u64>> {
    let mut headers = [httparse::EMPTY_HEADER; 16];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = response.parse(bytes)? else {
        return Ok(None);
    };
    let length = response
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("content-length"))
        .and_then(|header| {
            std::str::from_utf8(header.value)
                .ok()?
                .parse::<usize>()
                .ok()
        })
        .context("an answer without content-length")?;
    let body = bytes.get(head..).unwrap_or_default();
    if body.len() < length {
        return Ok(None);
    }
    if response.code != Some(202) {
        let text = String::from_utf8_lossy(body);
        bail!("the server answered {}: {text}", response.code.unwrap_or(0));
    }
    let count = body.strip_prefix(b"{\"accepted\":").and_then(|rest| {
        // Python writes a space there.
        let rest = rest.trim_ascii_start();
        let digits = rest.split(|byte| !byte.is_ascii_digit()).next()?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    });
    count.map(Some).context("an answer without a count")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: &str, body: &str) -> Vec<u8> {
        let length = body.len();
        format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes()
    }

    #[test]
    fn an_answer_says_how_many_events_are_accepted() {
        for body in [
            r#"{"accepted":100,"rejected":[]}"#,
            r#"{"accepted": 100, "rejected": []}"#,
        ] {
            assert_eq!(
                accepted(&answer("202 Accepted", body)).unwrap(),
                Some(100),
                "{body}"
            );
        }
    }

    #[test]
    fn half_an_answer_is_none() {
        let mut bytes = answer("202 Accepted", r#"{"accepted":1,"rejected":[]}"#);
        bytes.pop();
        assert_eq!(accepted(&bytes).unwrap(), None);
    }

    #[test]
    fn any_other_answer_fails() {
        let error = accepted(&answer("503 Service Unavailable", "{}")).unwrap_err();
        assert_eq!(error.to_string(), "the server answered 503: {}");
    }
}
