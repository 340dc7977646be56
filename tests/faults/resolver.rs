//! A name server of a test's own.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Where name servers listen: the C library asks no other port.
const PORT: u16 = 53;

/// The header of a DNS message, in bytes (RFC 1035, 4.1.1).
const HEADER: usize = 12;

/// The type of a question for an IPv4 address (RFC 1035, 3.2.2).
const TYPE_A: [u8; 2] = [0, 1];

/// What the name server says, whatever name it is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Answer {
    Address(Ipv4Addr),
    NoSuchName,
    Failure,
    Silence,
}

/// A name server on a loopback address, and a `resolv.conf` that names it.
pub(crate) struct Resolver {
    answer: Arc<Mutex<Answer>>,
    conf: tempfile::NamedTempFile,
}

impl Resolver {
    /// `None`, and a line that says so for `row`, when this user may not listen there.
    pub(crate) fn start(row: &str, answer: Answer) -> Option<Self> {
        // An address that no other process of this machine takes.
        let [_, _, high, low] = process::id().to_be_bytes();
        let address = Ipv4Addr::new(127, 53, high, low);
        let Ok(socket) = UdpSocket::bind(SocketAddr::from((address, PORT))) else {
            println!("{row}: skipped, this user may not listen on port {PORT}");
            return None;
        };
        let conf = tempfile::NamedTempFile::new().expect("a file");
        let text = format!("nameserver {address}\noptions timeout:1 attempts:1\n");
        fs::write(&conf, text).expect("it is written");
        let answer = Arc::new(Mutex::new(answer));
        let shared = Arc::clone(&answer);
        // It ends with the test's process.
        thread::spawn(move || serve(&socket, &shared));
        Some(Self { answer, conf })
    }

    pub(crate) fn set(&self, answer: Answer) {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = answer;
    }

    /// The command that starts a process with this name server: in a mount namespace of its own.
    pub(crate) fn wrapper(&self) -> Vec<String> {
        let mount = r#"mount --bind "$0" /etc/resolv.conf && exec "$@""#;
        let conf = self.conf.path().display().to_string();
        let command = ["unshare", "--mount", "sh", "-c", mount, &conf];
        command.map(str::to_owned).into()
    }
}

fn serve(socket: &UdpSocket, answer: &Mutex<Answer>) {
    let mut query = [0; 512];
    while let Ok((length, client)) = socket.recv_from(&mut query) {
        let answer = *answer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reply) = reply(&query[..length], answer) {
            let _ = socket.send_to(&reply, client);
        }
    }
}

/// The message that answers a query of one question.
fn reply(query: &[u8], answer: Answer) -> Option<Vec<u8>> {
    let name = query
        .get(HEADER..)?
        .iter()
        .position(|length| *length == 0)?;
    let question = query.get(HEADER..HEADER + name + 5)?;
    let is_a = question.get(name + 1..name + 3)? == TYPE_A;
    let (code, address) = match answer {
        Answer::Address(address) => (0, Some(address).filter(|_| is_a)),
        Answer::Failure => (2, None),
        Answer::NoSuchName => (3, None),
        Answer::Silence => return None,
    };
    let mut reply = query.get(..2)?.to_vec();
    // An answer, recursion desired and available, and its code; one question.
    reply.extend([0x81, 0x80 | code, 0, 1, 0, u8::from(address.is_some())]);
    reply.extend([0; 4]);
    reply.extend(question);
    if let Some(address) = address {
        // The name of the question, an IPv4 address, to be forgotten at once, of four bytes.
        reply.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
        reply.extend(address.octets());
    }
    Some(reply)
}
