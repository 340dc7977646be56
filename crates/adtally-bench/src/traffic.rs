//! The events of every bar: ad, kind, time, address and user agent, 140 to 170 bytes of JSON.

use std::io::Write;

use adtally::Zipf;
use adtally_domain::{AdId, Event, EventId, EventKind, Timestamp};
use adtally_service::clock;
use chrono::SecondsFormat;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// The offset of the Zipf-Mandelbrot distribution, which flattens its head.
const OFFSET: f64 = 2.0;
/// One event in so many is a click.
const CLICKS: u32 = 50;
/// Different requests that are sent in turn. Each is an event of its own: its time changes, and the
/// server makes the id.
const REQUESTS: usize = 8_192;
const TIME: &str = "2026-11-22T06:00:00.123Z";

pub(crate) const USER_AGENTS: [&str; 3] = [
    "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0) Safari",
    "Mozilla/5.0 (Windows NT 10.0; Win64) Chrome/150",
];

/// Chooses ads, kinds, addresses and user agents.
pub(crate) struct Traffic {
    random: StdRng,
    ads: Zipf,
}

impl Traffic {
    /// Traffic for so many ads; the same every time.
    pub(crate) fn new(ads: u32) -> Self {
        Self {
            random: StdRng::seed_from_u64(7),
            ads: Zipf::new(ads, 1.0, OFFSET),
        }
    }

    fn kind(&mut self) -> EventKind {
        if self.random.random_ratio(1, CLICKS) {
            EventKind::Click
        } else {
            EventKind::Impression
        }
    }

    fn user_agent(&mut self) -> &'static str {
        let index = self.random.random_range(0..USER_AGENTS.len());
        USER_AGENTS.get(index).copied().unwrap_or_default()
    }

    /// An event as the API would hand it on, at `time`.
    pub(crate) fn event(&mut self, time: Timestamp) -> Event {
        let ad = self.ads.sample(&mut self.random);
        let network = [198, 51, self.random.random::<u8>(), 0];
        let id = EventId::v7(time, self.random.random());
        let event = Event::new(id, self.kind(), ad_id(ad), time);
        Event {
            ip: Some(network.into()),
            user_agent: Some(self.user_agent().to_owned()),
            ..event
        }
    }

    fn write_json(&mut self, json: &mut Vec<u8>, times: &mut Vec<usize>) {
        let ad = self.ads.sample(&mut self.random);
        let (kind, third, fourth) = (
            self.kind(),
            self.random.random::<u8>(),
            self.random.random::<u8>(),
        );
        // Writing to memory does not fail.
        let _infallible = write!(json, r#"{{"ad_id":{ad},"kind":"{kind}","occurred_at":""#);
        times.push(json.len());
        let user_agent = self.user_agent();
        let _infallible = write!(
            json,
            r#"{TIME}","ip":"198.51.{third}.{fourth}","user_agent":"{user_agent}"}}"#
        );
    }
}

#[expect(clippy::expect_used, reason = "ranks begin at 1")]
fn ad_id(rank: u32) -> AdId {
    AdId::new(rank.into()).expect("a rank of at least 1")
}

/// HTTP requests, ready to be sent, each with the present time.
pub(crate) struct Requests {
    requests: Vec<Request>,
    next: usize,
    now: (i64, String),
}

struct Request {
    bytes: Vec<u8>,
    /// Where times stand in it.
    times: Vec<usize>,
}

impl Requests {
    /// Requests of `batch` events each, one as an object, more as an array.
    pub(crate) fn new(ads: u32, batch: usize) -> Self {
        let mut traffic = Traffic::new(ads);
        let count = (REQUESTS / batch).max(64);
        Self {
            requests: (0..count)
                .map(|_| Request::new(&mut traffic, batch))
                .collect(),
            next: 0,
            now: (0, TIME.to_owned()),
        }
    }

    pub(crate) fn next(&mut self) -> &[u8] {
        let now = clock::now();
        if now.timestamp_millis() != self.now.0 {
            let text = now.to_rfc3339_opts(SecondsFormat::Millis, true);
            self.now = (now.timestamp_millis(), text);
        }
        self.next = (self.next + 1) % self.requests.len();
        match self.requests.get_mut(self.next) {
            Some(request) => request.at(&self.now.1),
            None => &[],
        }
    }
}

impl Request {
    fn new(traffic: &mut Traffic, batch: usize) -> Self {
        let (mut body, mut times) = (Vec::new(), Vec::new());
        if batch == 1 {
            traffic.write_json(&mut body, &mut times);
        } else {
            for number in 0..batch {
                body.push(if number == 0 { b'[' } else { b',' });
                traffic.write_json(&mut body, &mut times);
            }
            body.push(b']');
        }
        let mut bytes = format!(
            "POST /v1/events HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        for place in &mut times {
            *place += bytes.len();
        }
        bytes.extend_from_slice(&body);
        Self { bytes, times }
    }

    fn at(&mut self, time: &str) -> &[u8] {
        for place in &self.times {
            if let Some(slot) = self.bytes.get_mut(*place..*place + TIME.len()) {
                slot.copy_from_slice(time.as_bytes());
            }
        }
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_has_the_size_that_the_bars_name() {
        let mut traffic = Traffic::new(10_000);
        for _ in 0..5_000 {
            let mut json = Vec::new();
            traffic.write_json(&mut json, &mut Vec::new());
            assert!((140..=170).contains(&json.len()), "{}", json.len());
        }
    }

    #[test]
    fn a_request_tells_the_present_time() {
        let before = clock::now().timestamp_millis();
        let mut requests = Requests::new(10, 2);
        let text = String::from_utf8(requests.next().to_vec()).unwrap();
        let body = text.split("\r\n\r\n").nth(1).unwrap();
        let events: Vec<serde_json::Value> = serde_json::from_str(body).unwrap();
        for event in events {
            let time = event["occurred_at"].as_str().unwrap();
            let time = chrono::DateTime::parse_from_rfc3339(time).unwrap();
            assert!(time.timestamp_millis() >= before);
        }
    }
}
