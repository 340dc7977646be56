//! Sends requests over keep-alive connections, from one thread that does little else.
//!
//! Closed: each connection sends its next request when it has the answer to the last; the rate is
//! what the server makes of it. Open: each request has a due time of its own, and its latency counts
//! from that time on, also when all connections were busy then (no coordinated omission).

mod connection;
mod timer;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use mio::{Events, Interest, Poll, Token};

use crate::latencies::Latencies;
use crate::traffic::Requests;
use connection::{Connection, Progress};
use timer::Timer;

/// How long a request may take before the run has failed.
const PATIENCE: Duration = Duration::from_secs(20);
const TIMER: Token = Token(usize::MAX);

/// When requests leave.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// As soon as a connection is free.
    Closed,
    /// So many a second, whatever the answers do.
    Open(f64),
}

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Answers {
    pub(crate) requests: u64,
    /// Events that were accepted, as the answers say.
    pub(crate) accepted: u64,
    /// From the first request to the last answer.
    pub(crate) elapsed: Duration,
    /// From a request's due time to its answer.
    pub(crate) latencies: Latencies,
}

/// Sends `requests` to `address` for `duration` and waits for the last answer.
///
/// # Errors
/// Any answer but 202, a connection that fails, an answer that does not come.
pub(crate) fn drive(
    address: SocketAddr,
    connections: usize,
    pace: Pace,
    duration: Duration,
    requests: &mut Requests,
) -> anyhow::Result<Answers> {
    let mut run = Run::open(address, connections, pace, duration)?;
    let mut events = Events::with_capacity(1_024);
    run.start(requests)?;
    while run.is_busy() {
        run.poll.poll(&mut events, Some(PATIENCE))?;
        if events.is_empty() {
            bail!("no answer within {} s", PATIENCE.as_secs());
        }
        for event in &events {
            if event.token() == TIMER {
                run.timer.acknowledge()?;
            } else {
                run.read(event.token().0, requests)?;
            }
        }
        run.send_due(requests)?;
    }
    Ok(run.answers())
}

struct Run {
    poll: Poll,
    timer: Timer,
    connections: Vec<Connection>,
    idle: VecDeque<usize>,
    pace: Pace,
    started: Instant,
    duration: Duration,
    /// Requests that were due so far and have left.
    sent: u64,
    answered: u64,
    accepted: u64,
    last_answer: Duration,
    latencies: Latencies,
}

impl Run {
    fn open(
        address: SocketAddr,
        connections: usize,
        pace: Pace,
        duration: Duration,
    ) -> anyhow::Result<Self> {
        let poll = Poll::new()?;
        let timer = Timer::new()?;
        timer.register(poll.registry(), TIMER)?;
        let mut opened = Vec::with_capacity(connections);
        for number in 0..connections {
            let mut connection =
                Connection::open(address).with_context(|| format!("connecting to {address}"))?;
            poll.registry()
                .register(connection.stream(), Token(number), Interest::READABLE)?;
            opened.push(connection);
        }
        Ok(Self {
            poll,
            timer,
            idle: (0..connections).collect(),
            connections: opened,
            pace,
            started: Instant::now(),
            duration,
            sent: 0,
            answered: 0,
            accepted: 0,
            last_answer: Duration::ZERO,
            latencies: Latencies::default(),
        })
    }

    fn start(&mut self, requests: &mut Requests) -> anyhow::Result<()> {
        self.started = Instant::now();
        self.send_due(requests)
    }

    /// Whether an answer is still to come, or a request to leave.
    fn is_busy(&self) -> bool {
        self.sent > self.answered || self.due(self.sent, self.started.elapsed()) < self.duration
    }

    /// When the request `number` is due, asked at `now`.
    fn due(&self, number: u64, now: Duration) -> Duration {
        match self.pace {
            Pace::Closed => now,
            #[expect(clippy::cast_precision_loss, reason = "far fewer requests than 2^52")]
            Pace::Open(rate) => Duration::from_secs_f64(number as f64 / rate),
        }
    }

    fn send_due(&mut self, requests: &mut Requests) -> anyhow::Result<()> {
        while !self.idle.is_empty() {
            let now = self.started.elapsed();
            let due = self.due(self.sent, now);
            if due >= self.duration {
                return Ok(());
            }
            if due > now {
                return self.timer.ring_in(due - now);
            }
            let Some(number) = self.idle.pop_front() else {
                return Ok(());
            };
            if let Some(connection) = self.connections.get_mut(number) {
                connection.send(requests.next(), due)?;
                self.sent += 1;
            }
        }
        Ok(())
    }

    fn read(&mut self, number: usize, requests: &mut Requests) -> anyhow::Result<()> {
        let Some(connection) = self.connections.get_mut(number) else {
            return Ok(());
        };
        let Progress::Answered { accepted, due } = connection.receive()? else {
            return Ok(());
        };
        let now = self.started.elapsed();
        self.answered += 1;
        self.accepted += accepted;
        self.last_answer = now;
        self.latencies.record(due, now.saturating_sub(due))?;
        self.idle.push_back(number);
        // At once: the server need not wait until the other answers are read.
        self.send_due(requests)
    }

    fn answers(self) -> Answers {
        Answers {
            requests: self.answered,
            accepted: self.accepted,
            elapsed: self.last_answer,
            latencies: self.latencies,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// Accepts whatever one connection sends at once.
    fn server() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            while stream.read(&mut [0; 4_096]).unwrap() > 0 {
                let answer = b"HTTP/1.1 202 Accepted\r\ncontent-length: 14\r\n\r\n{\"accepted\":1}";
                stream.write_all(answer).unwrap();
            }
        });
        address
    }

    #[test]
    fn a_run_ends_with_its_last_answer_however_early_that_comes() {
        let (duration, mut requests) = (Duration::from_secs(1), Requests::new(10, 1));
        // The second of them leaves half a second before the end.
        let answers = drive(server(), 1, Pace::Open(2.0), duration, &mut requests).unwrap();
        assert_eq!((answers.requests, answers.accepted), (2, 2));
        assert!(answers.elapsed >= Duration::from_millis(500));
    }
}
