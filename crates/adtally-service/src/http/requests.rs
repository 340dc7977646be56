//! Where in a connection's stream of requests the next byte belongs.
//!
//! actix's parser decides what a request is; nothing that is followed here tells it anything. It bounds
//! a head in bytes and in time, and finds where a request line begins.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

/// The bytes of a connection, followed from head to head.
#[derive(Debug, Default)]
pub(super) struct Requests {
    complete_heads: u64,
    state: State,
    /// Bytes of the head so far.
    bytes: usize,
    /// A line that did not arrive in one piece.
    partial: Vec<u8>,
}

/// What the next byte belongs to.
#[derive(Debug, Clone, Copy)]
enum State {
    /// A head; `lines` of it have arrived.
    Head { lines: usize, body: Body },
    /// A body; `left` bytes are to come.
    Body { left: u64 },
    /// The line with a chunk's size.
    ChunkSize,
    /// A chunk and the end of its line.
    Chunk { left: u64 },
    /// The lines behind the last chunk.
    Trailers,
}

/// How a head says that its body ends.
#[derive(Debug, Clone, Copy)]
enum Body {
    Length(u64),
    Chunked,
}

/// Why a request is refused before the parser has all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// A line ends with a line feed alone, where a proxy may see no end.
    BareLineFeed,
    /// The head is longer than it may be.
    HeadTooLarge,
    /// The size of a chunk is longer than any size is.
    ChunkSize,
}

/// A fault, and what came before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Faulty {
    pub(super) fault: Fault,
    /// So many bytes of what was followed end with the last complete request.
    pub(super) sound: usize,
}

/// More bytes than the size of a chunk takes.
const SIZE_BYTES: usize = 32;

const START: State = State::Head {
    lines: 0,
    body: Body::Length(0),
};

impl Default for State {
    fn default() -> Self {
        START
    }
}

impl Requests {
    /// How many heads were complete.
    pub(super) fn complete_heads(&self) -> u64 {
        self.complete_heads
    }

    /// Whether the next byte belongs to a request line, or to the empty lines before one.
    pub(super) fn is_at_request_line(&self) -> bool {
        matches!(self.state, State::Head { lines: 0, .. })
    }

    /// Whether a part of a head is there.
    pub(super) fn is_inside_head(&self) -> bool {
        matches!(self.state, State::Head { .. }) && self.bytes > 0
    }

    /// Whether nothing but the empty lines before a request line is there, one at least.
    pub(super) fn has_only_blank_lines(&self) -> bool {
        self.is_inside_head()
            && self.is_at_request_line()
            && self.partial.iter().all(|byte| *byte == b'\r')
    }

    /// Follows `bytes`; a head may have `limit`.
    ///
    /// # Errors
    /// The fault of a request. What comes after it is not followed, and the requests of `bytes` that are
    /// not complete do not count.
    pub(super) fn follow(&mut self, bytes: &[u8], limit: usize) -> Result<(), Faulty> {
        let mut left = bytes;
        let (mut sound, mut sound_heads) = (0, self.complete_heads);
        while !left.is_empty() {
            if let Err(fault) = self.step(&mut left, limit) {
                self.complete_heads = sound_heads;
                return Err(Faulty { fault, sound });
            }
            // Behind a request, and not behind an empty line before one.
            if self.is_at_request_line() && self.bytes == 0 {
                (sound, sound_heads) = (bytes.len() - left.len(), self.complete_heads);
            }
        }
        Ok(())
    }

    /// Follows what belongs together at the start of `bytes`, and takes it off.
    fn step(&mut self, bytes: &mut &[u8], limit: usize) -> Result<(), Fault> {
        if let State::Body { left } | State::Chunk { left } = &mut self.state {
            let here = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
            *left -= here as u64;
            if *left == 0 {
                self.state = match self.state {
                    State::Chunk { .. } => State::ChunkSize,
                    _ => START,
                };
            }
            *bytes = bytes.get(here..).unwrap_or_default();
            return Ok(());
        }
        let (line, rest) = match memchr::memchr(b'\n', bytes) {
            Some(end) => bytes.split_at(end + 1),
            None => (*bytes, &[][..]),
        };
        *bytes = rest;
        if let State::Head { .. } = self.state {
            self.bytes += line.len();
            if self.bytes > limit {
                return Err(Fault::HeadTooLarge);
            }
        }
        if line.last() != Some(&b'\n') {
            self.buffer(line)
        } else if self.partial.is_empty() {
            self.line(line)
        } else {
            self.partial.extend_from_slice(line);
            let line = std::mem::take(&mut self.partial);
            self.line(&line)
        }
    }

    /// Buffers a part of a line until its end is there.
    fn buffer(&mut self, part: &[u8]) -> Result<(), Fault> {
        self.partial.extend_from_slice(part);
        if let State::ChunkSize = self.state {
            size_digits(&self.partial)?;
        }
        // What follows a chunk's size on its line, and a trailer, may be long, and means nothing. The last
        // byte may be the first of the line's end.
        let is_head = matches!(self.state, State::Head { .. });
        if let Some(&last) = self.partial.get(SIZE_BYTES + 1..).and_then(<[u8]>::last)
            && !is_head
        {
            self.partial.truncate(SIZE_BYTES + 1);
            self.partial.push(last);
        }
        Ok(())
    }

    /// Takes a line with its end.
    fn line(&mut self, line: &[u8]) -> Result<(), Fault> {
        let text = match line.strip_suffix(b"\r\n") {
            Some(text) => text,
            // Some clients end a body with a line that its length does not count.
            None if line == b"\n" && self.is_at_request_line() => return Ok(()),
            None => return Err(Fault::BareLineFeed),
        };
        let next = match &mut self.state {
            State::Head { lines: 0, .. } if text.is_empty() => return Ok(()),
            State::Head { body, .. } if text.is_empty() => {
                self.complete_heads += 1;
                match *body {
                    Body::Length(0) => START,
                    Body::Length(left) => State::Body { left },
                    Body::Chunked => State::ChunkSize,
                }
            }
            State::Head { lines, body } => {
                *lines += 1;
                if *lines > 1 {
                    body.header(text);
                }
                return Ok(());
            }
            State::ChunkSize => match chunk_size(text)? {
                0 => State::Trailers,
                size => State::Chunk {
                    left: size.saturating_add(2),
                },
            },
            State::Trailers if text.is_empty() => START,
            State::Trailers | State::Body { .. } | State::Chunk { .. } => return Ok(()),
        };
        self.bytes = 0;
        self.state = next;
        Ok(())
    }
}

impl Body {
    /// Notes what a header says of the body.
    fn header(&mut self, line: &[u8]) {
        if let Some(length) = value_of(line, b"content-length:") {
            let length = length.parse().unwrap_or(0);
            *self = Self::Length(length);
        } else if value_of(line, b"transfer-encoding:").is_some() {
            *self = Self::Chunked;
        }
    }
}

/// The value of a header whose name and colon are `name`.
fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<Cow<'a, str>> {
    let (start, value) = line.split_at_checked(name.len())?;
    start
        .eq_ignore_ascii_case(name)
        .then(|| String::from_utf8_lossy(value.trim_ascii()))
}

/// The size in a chunk's first line. One that cannot be read is refused by the parser.
fn chunk_size(line: &[u8]) -> Result<u64, Fault> {
    let digits = size_digits(line)?;
    let digits = std::str::from_utf8(digits.trim_ascii()).unwrap_or_default();
    Ok(u64::from_str_radix(digits, 16).unwrap_or(0))
}

/// The size at the start of a line that may lack the rest, with the space around it.
fn size_digits(line: &[u8]) -> Result<&[u8], Fault> {
    let digits = line.split(|&byte| byte == b';').next().unwrap_or_default();
    let digits = digits.strip_suffix(b"\r").unwrap_or(digits);
    if digits.len() > SIZE_BYTES {
        return Err(Fault::ChunkSize);
    }
    Ok(digits)
}
