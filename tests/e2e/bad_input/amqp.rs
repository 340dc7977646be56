//! A client of the broker that puts anything on a queue: a few frames of AMQP 0-9-1, written by
//! hand, because a proper client refuses to send half of it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use adtally_devstack::testing::TestStack;

/// A connection with one channel whose publishes are confirmed.
pub(super) struct Amqp {
    stream: TcpStream,
}

/// A value in a header table.
#[derive(Clone)]
pub(super) enum Field {
    Text(&'static str),
    Number(i64),
    Null,
    List(Vec<Field>),
    /// A table within a table, so many levels deep.
    Abyss(usize),
}

/// What a message says about itself.
#[derive(Clone, Default)]
pub(super) struct Properties {
    pub(super) content_type: Option<&'static str>,
    pub(super) content_encoding: Option<&'static str>,
    pub(super) headers: Vec<(&'static str, Field)>,
    pub(super) message_id: Option<&'static str>,
    /// The `type` property, of any bytes.
    pub(super) kind: Option<&'static [u8]>,
}

impl Amqp {
    pub(super) fn connect() -> Self {
        let url = TestStack::shared().amqp_url();
        let (user, host) = url
            .trim_start_matches("amqp://")
            .split_once('@')
            .expect("the URL names a user");
        let (user, password) = user.split_once(':').expect("and a password");
        let stream = TcpStream::connect(host.split('/').next().unwrap_or(host));
        let stream = stream.expect("the broker listens");
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .expect("a socket");
        let mut amqp = Self { stream };
        amqp.send(b"AMQP\0\0\x09\x01");
        amqp.expect(10, 10);
        let login = format!("\0{user}\0{password}");
        let start_ok = [
            &0_u32.to_be_bytes()[..],
            &short("PLAIN"),
            &long(login.as_bytes()),
            &short("en_US"),
        ];
        amqp.method(0, 10, 11, &start_ok.concat());
        let tune = amqp.expect(10, 30);
        let tune_ok = [&tune[..6], &[0, 0]].concat();
        amqp.method(0, 10, 31, &tune_ok);
        amqp.method(0, 10, 40, &[&short("/")[..], &[0, 0]].concat());
        amqp.expect(10, 41);
        amqp.method(1, 20, 10, &[0]);
        amqp.expect(20, 11);
        amqp.method(1, 85, 10, &[0]);
        amqp.expect(85, 11);
        amqp
    }

    /// Publishes a persistent message and waits for the broker's confirm.
    pub(super) fn publish(&mut self, exchange: &str, key: &str, about: &Properties, body: &[u8]) {
        let publish = [&[0, 0], &short(exchange)[..], &short(key), &[0]].concat();
        self.method(1, 60, 40, &publish);
        let size = body.len() as u64;
        let header = [
            &60_u16.to_be_bytes()[..],
            &[0, 0],
            &size.to_be_bytes(),
            &about.encoded(),
        ];
        self.frame(2, 1, &header.concat());
        for chunk in body.chunks(100_000) {
            self.frame(3, 1, chunk);
        }
        self.expect(60, 80);
    }

    /// How many messages wait in `queue`, those in the hands of workers left out.
    pub(super) fn depth(&mut self, queue: &str) -> u32 {
        let passive = [&[0, 0], &short(queue)[..], &[1], &0_u32.to_be_bytes()].concat();
        self.method(1, 50, 10, &passive);
        let ok = self.expect(50, 11);
        let at = 1 + usize::from(ok[0]);
        u32::from_be_bytes(ok[at..at + 4].try_into().expect("four bytes"))
    }

    fn method(&mut self, channel: u16, class: u16, method: u16, arguments: &[u8]) {
        let method = [&class.to_be_bytes(), &method.to_be_bytes(), arguments].concat();
        self.frame(1, channel, &method);
    }

    fn frame(&mut self, kind: u8, channel: u16, payload: &[u8]) {
        let length = u32::try_from(payload.len()).expect("a frame").to_be_bytes();
        self.send(
            &[
                &[kind],
                &channel.to_be_bytes()[..],
                &length,
                payload,
                &[0xce],
            ]
            .concat(),
        );
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the broker listens");
    }

    /// Waits for a method; its arguments.
    fn expect(&mut self, class: u16, method: u16) -> Vec<u8> {
        loop {
            let mut head = [0; 7];
            self.stream
                .read_exact(&mut head)
                .expect("the broker answers");
            let length = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
            let mut payload = vec![0; length + 1];
            self.stream.read_exact(&mut payload).expect("a whole frame");
            if head[0] != 1 {
                continue;
            }
            let seen = [&class.to_be_bytes()[..], &method.to_be_bytes()].concat();
            let text = String::from_utf8_lossy(&payload);
            assert_eq!(payload[..4], seen[..], "the broker says {text}");
            return payload[4..length].to_vec();
        }
    }
}

impl Properties {
    /// Properties of a message in JSON.
    pub(super) fn json() -> Self {
        Self {
            content_type: Some("application/json"),
            content_encoding: Some("utf-8"),
            ..Self::default()
        }
    }

    /// These properties with one more header.
    pub(super) fn header(mut self, name: &'static str, value: Field) -> Self {
        self.headers.retain(|(earlier, _)| *earlier != name);
        self.headers.push((name, value));
        self
    }

    /// These properties without the header `name`.
    pub(super) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(earlier, _)| *earlier != name);
        self
    }

    fn encoded(&self) -> Vec<u8> {
        let mut flags = 0x1000_u16;
        let mut values = Vec::new();
        for (flag, text) in [(0x8000, self.content_type), (0x4000, self.content_encoding)] {
            if let Some(text) = text {
                flags |= flag;
                values.extend(short(text));
            }
        }
        if !self.headers.is_empty() {
            flags |= 0x2000;
            let fields = self
                .headers
                .iter()
                .flat_map(|(name, value)| entry(name, value));
            values.extend(long(&fields.collect::<Vec<_>>()));
        }
        values.push(2);
        if let Some(id) = self.message_id {
            flags |= 0x80;
            values.extend(short(id));
        }
        if let Some(kind) = self.kind {
            flags |= 0x20;
            values.push(kind.len() as u8);
            values.extend(kind);
        }
        [&flags.to_be_bytes()[..], &values].concat()
    }
}

fn entry(name: &str, value: &Field) -> Vec<u8> {
    [short(name), value.encoded()].concat()
}

impl Field {
    fn encoded(&self) -> Vec<u8> {
        let (kind, value) = match self {
            Self::Text(text) => (b'S', long(text.as_bytes())),
            Self::Number(number) => (b'l', number.to_be_bytes().to_vec()),
            Self::Null => (b'V', Vec::new()),
            Self::List(items) => {
                let items: Vec<_> = items.iter().flat_map(Self::encoded).collect();
                (b'A', long(&items))
            }
            Self::Abyss(levels) => {
                let innermost = long(b"");
                let table = (0..*levels).fold(innermost, |inner, _| {
                    long(&[&short("x")[..], b"F", &inner].concat())
                });
                (b'F', table)
            }
        };
        [&[kind], &value[..]].concat()
    }
}

fn short(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).expect("a short text");
    [&[length], text.as_bytes()].concat()
}

fn long(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len())
        .expect("a long text")
        .to_be_bytes();
    [&length, bytes].concat()
}
