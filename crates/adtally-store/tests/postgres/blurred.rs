//! The tests of storing events once more, behind something that says of no failed COPY what it was.
//!
//! Poolers, proxies and shards report errors under a code of their own and without their fields. What
//! becomes of an event must not rest on either.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

use adtally_devstack::testing::TestStack;
use adtally_store::Store;

use crate::support::{self, TestStore, config};

#[path = "events.rs"]
mod events;
#[path = "identities.rs"]
mod identities;
#[path = "locks.rs"]
mod locks;
#[path = "partitions.rs"]
mod partitions;
#[path = "resolving.rs"]
mod resolving;

/// A migrated database whose store is behind the proxy.
fn store() -> TestStore {
    store_in("UTC")
}

fn store_in(zone: &str) -> TestStore {
    let direct = support::store_in(zone);
    let server = TestStack::shared().postgres().port();
    let proxy = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, server)));
    let url = direct.database.url().replace(
        &format!("127.0.0.1:{server}/"),
        &format!("127.0.0.1:{proxy}/"),
    );
    assert_ne!(url, direct.database.url());
    TestStore {
        store: Store::connect(config(&url)),
        url,
        ..direct
    }
}

/// Starts a proxy before `server` and says on which port. It lives as long as the process.
fn listen(server: SocketAddr) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let upstream = TcpStream::connect(server).unwrap();
            for stream in [&client, &upstream] {
                stream.set_nodelay(true).unwrap();
            }
            let (from, to) = (client.try_clone().unwrap(), upstream.try_clone().unwrap());
            thread::spawn(move || pass(from, to));
            thread::spawn(move || blur(upstream, client));
        }
    });
    port
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
}

/// Passes the server's messages on, of errors during a COPY only severity and words.
fn blur(mut server: TcpStream, mut client: TcpStream) {
    let mut copies = false;
    while let Some((kind, body)) = message(&mut server) {
        let body = match kind {
            b'E' if copies => without_code(&body),
            _ => body,
        };
        match kind {
            b'G' => copies = true,
            b'Z' => copies = false,
            _ => {}
        }
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        let message = [&[kind][..], &length, &body].concat();
        if client.write_all(&message).is_err() {
            break;
        }
    }
    for stream in [&client, &server] {
        let _ = stream.shutdown(Shutdown::Both);
    }
}

fn message(server: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 5];
    server.read_exact(&mut head).ok()?;
    let [kind, length @ ..] = head;
    let mut body = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap() - 4];
    server.read_exact(&mut body).ok()?;
    Some((kind, body))
}

fn without_code(fields: &[u8]) -> Vec<u8> {
    let mut kept = b"CXX000\0".to_vec();
    for field in fields.split(|byte| *byte == 0) {
        if matches!(field.first(), Some(b'S' | b'V' | b'M')) {
            kept.extend_from_slice(field);
            kept.push(0);
        }
    }
    kept.push(0);
    kept
}
