//! Strangers that take what they can get.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use adtally_tests::http;
use flate2::Compression;
use flate2::write::GzEncoder;

const BODY: usize = 4 * 1_024 * 1_024;
const JSON: (&str, &str) = ("Content-Type", "application/json");

/// What the strangers do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attack {
    /// 60 a second of 4 kB that would unfold to 4 MiB.
    GzipBodies,
    /// 70 that lack their last bytes, sent again when they are refused.
    UnfinishedBodies,
    /// 3,000 second requests that never end, most with heads of 120 kB.
    HalfRequests,
    /// 5,000 connections that say nothing, opened again when they are closed.
    IdleConnections,
}

impl Attack {
    pub(super) const ALL: [Self; 4] = [
        Self::GzipBodies,
        Self::UnfinishedBodies,
        Self::HalfRequests,
        Self::IdleConnections,
    ];
}

type Attacker = dyn FnOnce() -> (usize, Duration) + Send;

/// An attack under way.
pub(super) struct Running {
    is_over: Arc<AtomicBool>,
    attackers: Vec<JoinHandle<(usize, Duration)>>,
}

impl Running {
    /// Plays one in so many of `attack`'s strangers, and returns when they are there.
    pub(super) fn start(attack: Attack, address: SocketAddr, one_in: usize) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let over = || Arc::clone(&is_over);
        let spawn = |attacker: Box<Attacker>| {
            thread::spawn(move || {
                // Strangers have processors of their own, so what theirs do here must delay nobody.
                rustix::process::setpriority_process(None, 19).unwrap();
                attacker()
            })
        };
        let attackers = match attack {
            Attack::GzipBodies => {
                let bomb = Arc::new(bomb());
                let pause = Duration::from_secs(1) * 4 / 60 * one_in as u32;
                (0..4)
                    .map(|_| {
                        let (bomb, over) = (Arc::clone(&bomb), over());
                        spawn(Box::new(move || send_bombs(address, &bomb, pause, &over)))
                    })
                    .collect()
            }
            Attack::UnfinishedBodies => {
                let body: Arc<[u8]> = vec![b' '; BODY - 10].into();
                (0..70_usize.div_ceil(one_in))
                    .map(|_| {
                        let (body, over) = (Arc::clone(&body), over());
                        spawn(Box::new(move || leave_unfinished(address, &body, &over)))
                    })
                    .collect()
            }
            Attack::HalfRequests => {
                let (over, there) = (over(), Arc::new(AtomicBool::new(false)));
                let (count, is_there) = (3_000 / one_in, Arc::clone(&there));
                let attacker = spawn(Box::new(move || {
                    leave_half(address, count, &is_there, &over)
                }));
                while !there.load(Ordering::Relaxed) && !attacker.is_finished() {
                    thread::sleep(Duration::from_millis(5));
                }
                vec![attacker]
            }
            Attack::IdleConnections => {
                let (over, count) = (over(), 5_000 / one_in);
                vec![spawn(Box::new(move || idle(address, count, &over)))]
            }
        };
        Self { is_over, attackers }
    }

    /// Ends it: how many half requests it saw ending, and the longest any of them stayed.
    pub(super) fn end(self) -> (usize, Duration) {
        self.is_over.store(true, Ordering::Relaxed);
        self.attackers
            .into_iter()
            .map(|attacker| attacker.join().unwrap())
            .fold((0, Duration::ZERO), |(count, longest), (more, stayed)| {
                (count + more, longest.max(stayed))
            })
    }
}

/// A small body that unfolds to `[0,0,...]` of 4 MiB.
fn bomb() -> Vec<u8> {
    let zeros = format!("[{}0]", "0,".repeat(BODY / 2 - 2));
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(zeros.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn send_bombs(
    address: SocketAddr,
    bomb: &[u8],
    pause: Duration,
    is_over: &AtomicBool,
) -> (usize, Duration) {
    let headers = [JSON, ("Content-Encoding", "gzip")];
    let mut next = Instant::now();
    while !is_over.load(Ordering::Relaxed) {
        let answer = http::request(address, "POST", "/v1/events", &headers, bomb);
        if let Ok(answer) = answer {
            assert_eq!(answer.status, 413, "{answer:?}");
        }
        next += pause;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    (0, Duration::ZERO)
}

/// Sends all but the last bytes of a body, waits for the answer, and begins again.
fn leave_unfinished(address: SocketAddr, body: &[u8], is_over: &AtomicBool) -> (usize, Duration) {
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n\
         Content-Length: {BODY}\r\n\r\n"
    );
    while !is_over.load(Ordering::Relaxed) {
        if let Ok(mut stream) = TcpStream::connect(address) {
            stream
                .set_read_timeout(Some(Duration::from_millis(100)))
                .unwrap();
            stream
                .set_write_timeout(Some(Duration::from_secs(5)))
                .unwrap();
            let sent = stream
                .write_all(head.as_bytes())
                .and_then(|()| stream.write_all(body));
            while sent.is_ok() && !is_over.load(Ordering::Relaxed) && is_open(&mut stream) {}
        }
        pause(Duration::from_secs(1), is_over);
    }
    (0, Duration::ZERO)
}

/// Leaves the second request of each connection half sent, and sees when the server has enough of it.
fn leave_half(
    address: SocketAddr,
    count: usize,
    is_there: &AtomicBool,
    is_over: &AtomicBool,
) -> (usize, Duration) {
    let long = format!("GET / HTTP/1.1\r\nX-Long: {}", "x".repeat(120_000));
    let short = "GET / HTTP/1.1\r\nHost: h\r\nX-Sho";
    let mut halves = Vec::new();
    for number in 0..count {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        let half = if number % 10 == 0 { short } else { &long };
        if let Ok(stream) = half_sent(address, half) {
            halves.push((Instant::now(), stream));
        }
    }
    is_there.store(true, Ordering::Relaxed);
    let (mut gone, mut longest) = (0, Duration::ZERO);
    // The last of them are waited for: what stays open for ever is found.
    while !halves.is_empty() {
        halves.retain_mut(|(since, stream)| {
            let stayed = since.elapsed();
            let stays = is_open(stream) && stayed < Duration::from_secs(60);
            if !stays {
                gone += 1;
                longest = longest.max(stayed);
            }
            stays
        });
        thread::sleep(Duration::from_millis(50));
    }
    (gone, longest)
}

/// A connection on which one request was answered and `half` of the next is sent.
fn half_sent(address: SocketAddr, half: &str) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.set_write_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET /livez HTTP/1.1\r\nHost: h\r\n\r\n")?;
    let length = stream.read(&mut [0; 1_024])?;
    if length == 0 {
        return Err(ErrorKind::ConnectionReset.into());
    }
    // It may be refused before all is sent.
    let _refused = stream.write_all(half.as_bytes());
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// Holds `count` connections that say nothing.
fn idle(address: SocketAddr, count: usize, is_over: &AtomicBool) -> (usize, Duration) {
    let mut held: Vec<TcpStream> = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        held.retain_mut(is_open);
        for _ in held.len()..count {
            if let Ok(stream) = TcpStream::connect(address)
                && stream.set_nonblocking(true).is_ok()
            {
                held.push(stream);
            }
            if is_over.load(Ordering::Relaxed) {
                break;
            }
        }
        pause(Duration::from_secs(1), is_over);
    }
    (0, Duration::ZERO)
}

/// Whether the server has not closed `stream`; what it answers is read.
fn is_open(stream: &mut TcpStream) -> bool {
    loop {
        match stream.read(&mut [0; 4_096]) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => {
                return matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
            }
        }
    }
}

fn pause(time: Duration, is_over: &AtomicBool) {
    let until = Instant::now() + time;
    while Instant::now() < until && !is_over.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(20));
    }
}
