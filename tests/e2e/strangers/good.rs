//! Clients that mean well: each sends one small request after the other.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use adtally_tests::http;

/// From one request to the next.
const PAUSE: Duration = Duration::from_millis(50);

const EVENT: &str = r#"{"ad_id": 7, "kind": "impression"}"#;
const JSON: (&str, &str) = ("Content-Type", "application/json");

/// Good clients at work.
pub(super) struct Good {
    is_over: Arc<AtomicBool>,
    /// The last of them asks for `/livez`.
    clients: Vec<JoinHandle<Report>>,
}

/// How good clients fared.
#[derive(Default)]
pub(super) struct Report {
    /// Milliseconds to the answer of each request for events and pixels.
    times: Vec<f64>,
    /// And of those for `/livez`.
    pub(super) live: Vec<f64>,
    /// What came instead of a success.
    pub(super) refused: Vec<String>,
}

impl Good {
    pub(super) fn start(api: SocketAddr) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let mut kept = None;
        let new = move || http::request(api, "POST", "/v1/events", &[JSON], EVENT.as_bytes());
        let pixel = move || http::request(api, "GET", "/v1/pixel.gif?ad_id=7", &[], b"");
        let live = move || http::request(api, "GET", "/livez", &[], b"");
        let status = |answer: std::io::Result<http::Response>| answer.map(|answer| answer.status);
        let clients = vec![
            client(&is_over, move || status(new())),
            client(&is_over, move || over(&mut kept, api)),
            client(&is_over, move || status(pixel())),
            client(&is_over, move || status(live())),
        ];
        Self { is_over, clients }
    }

    /// Ends them after `time`; how they fared.
    pub(super) fn after(self, time: Duration) -> Report {
        std::thread::sleep(time);
        self.is_over.store(true, Ordering::Relaxed);
        let mut reports: Vec<_> = self
            .clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .collect();
        let live = reports.pop().unwrap();
        let mut all = Report {
            live: live.times,
            refused: live.refused,
            ..Report::default()
        };
        for report in reports {
            all.times.extend(report.times);
            all.refused.extend(report.refused);
        }
        all.times.sort_by(f64::total_cmp);
        all
    }
}

impl Report {
    pub(super) fn count(&self) -> usize {
        self.times.len()
    }

    /// Milliseconds that so much of the requests took at most.
    pub(super) fn percentile(&self, part: f64) -> f64 {
        let index = (self.times.len() as f64 * part) as usize;
        self.times.get(index).copied().unwrap_or(f64::INFINITY)
    }

    pub(super) fn worst(&self) -> f64 {
        self.times.last().copied().unwrap_or(f64::INFINITY)
    }

    pub(super) fn worst_live(&self) -> f64 {
        self.live.iter().copied().fold(0.0, f64::max)
    }
}

/// A thread that makes a request again and again.
fn client(
    is_over: &Arc<AtomicBool>,
    mut request: impl FnMut() -> std::io::Result<u16> + Send + 'static,
) -> JoinHandle<Report> {
    let is_over = Arc::clone(is_over);
    std::thread::spawn(move || {
        let mut report = Report::default();
        while !is_over.load(Ordering::Relaxed) {
            let started = Instant::now();
            match request() {
                Ok(200 | 202) => report.times.push(started.elapsed().as_secs_f64() * 1_000.0),
                other => report.refused.push(format!("{other:?}")),
            }
            std::thread::sleep(PAUSE);
        }
        report
    })
}

/// Posts an event over a connection that is kept.
fn over(kept: &mut Option<TcpStream>, api: SocketAddr) -> std::io::Result<u16> {
    let mut stream = match kept.take() {
        Some(stream) => stream,
        None => {
            let stream = TcpStream::connect(api)?;
            stream.set_read_timeout(Some(Duration::from_secs(30)))?;
            stream.set_nodelay(true)?;
            stream
        }
    };
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nHost: h\r\n{}: {}\r\nContent-Length: {}\r\n\r\n{EVENT}",
        JSON.0,
        JSON.1,
        EVENT.len()
    );
    stream.write_all(head.as_bytes())?;
    // The answer is small, and comes in one piece.
    let mut answer = [0; 4_096];
    let length = stream.read(&mut answer)?;
    let status = http::parse(answer[..length].to_vec()).map(|answer| answer.status);
    *kept = Some(stream);
    status.ok_or_else(|| std::io::Error::other("no answer"))
}
