//! Ad servers of a test: they send events, send again what was not taken, and remember every id
//! with the answer it got.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};
use uuid::{Builder, Uuid};

use crate::{http, until};

/// How long a client waits before it sends again what was not taken.
const PAUSE: Duration = Duration::from_millis(100);
/// Events lie so far back that their hours are over.
const AGE: Duration = Duration::from_secs(2 * 3600);
/// And spread over so many hours, which reach into another day.
const HOURS: u64 = 26;

/// How ad servers behave.
#[derive(Debug, Clone)]
pub struct Manners {
    /// How many send at the same time.
    pub clients: usize,
    /// Events in a request.
    pub batch: usize,
    /// The pause between two requests of one client.
    pub pause: Duration,
    /// Whether what was not taken is sent again, under the same ids.
    pub insists: bool,
    /// Whether one event in some requests is one that must be refused.
    pub errs: bool,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            clients: 6,
            batch: 5,
            pause: Duration::from_millis(20),
            insists: true,
            errs: true,
        }
    }
}

/// What the ad servers were told.
#[derive(Debug, Default)]
pub struct Told {
    /// Ids answered for with 202.
    pub accepted: BTreeSet<String>,
    /// Ids in `rejected`, which must not be stored.
    pub rejected: BTreeSet<String>,
    /// Ids of which nobody knows: a server error, a reset, no answer.
    pub unclear: BTreeSet<String>,
    /// How long each answer took, in order of length.
    pub waits: Vec<Duration>,
    /// The longest time in which nothing was accepted.
    pub stall: Duration,
    /// How often each answer came: a status, or the kind of an error.
    pub answers: BTreeMap<String, u64>,
}

impl Told {
    /// The wait that so many percent of all answers did not exceed.
    #[must_use]
    pub fn percentile(&self, percent: usize) -> Duration {
        let index = self.waits.len().saturating_sub(1) * percent / 100;
        self.waits.get(index).copied().unwrap_or_default()
    }

    /// Adds what another was told. An id that was accepted once is accepted.
    pub fn absorb(&mut self, other: Told) {
        self.accepted.extend(other.accepted);
        self.rejected.extend(other.rejected);
        self.unclear.extend(other.unclear);
        self.unclear = &self.unclear - &self.accepted;
        self.waits.extend(other.waits);
        self.waits.sort_unstable();
        self.stall = self.stall.max(other.stall);
        for (answer, times) in other.answers {
            *self.answers.entry(answer).or_default() += times;
        }
    }
}

/// Ad servers at work.
pub struct Traffic {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<Told>>,
}

struct Shared {
    apis: Vec<SocketAddr>,
    manners: Manners,
    stop: AtomicBool,
    accepted: AtomicU64,
    /// When something was accepted last, and the longest time it took, in microseconds.
    began: Instant,
    last: AtomicU64,
    stall: AtomicU64,
}

impl Traffic {
    /// Begins to send to `api`.
    #[must_use]
    pub fn begin(api: SocketAddr, manners: Manners) -> Self {
        Self::begin_at(&[api], manners)
    }

    /// Begins to send to the first of `apis` that answers.
    #[must_use]
    pub fn begin_at(apis: &[SocketAddr], manners: Manners) -> Self {
        let shared = Arc::new(Shared {
            apis: apis.to_vec(),
            stop: AtomicBool::new(false),
            accepted: AtomicU64::new(0),
            began: Instant::now(),
            last: AtomicU64::new(0),
            stall: AtomicU64::new(0),
            manners,
        });
        let client = |number: usize| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.send(number))
        };
        let clients = (0..shared.manners.clients).map(client).collect();
        Self { shared, clients }
    }

    /// How many events were accepted so far.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// Waits until `more` further events were accepted.
    ///
    /// # Panics
    /// When they are not within a minute.
    pub fn until_accepted(&self, more: u64) {
        let goal = self.accepted() + more;
        until(&format!("{more} more events are accepted"), || {
            (self.accepted() >= goal).then_some(())
        });
    }

    /// Ends it; what all were told.
    ///
    /// # Panics
    /// When a client did.
    #[must_use]
    pub fn end(self) -> Told {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut told = Told::default();
        for client in self.clients {
            told.absorb(client.join().expect("a client that ends well"));
        }
        self.shared.note_accepted(0);
        told.stall = Duration::from_micros(self.shared.stall.load(Ordering::Relaxed));
        told
    }
}

impl Shared {
    fn send(&self, client: usize) -> Told {
        let mut told = Told::default();
        let mut number = client as u64;
        while !self.stop.load(Ordering::Relaxed) {
            number += 1;
            self.deliver(&self.batch(number), &mut told);
            thread::sleep(self.manners.pause);
        }
        told.unclear = &told.unclear - &told.accepted;
        told.waits.sort_unstable();
        told
    }

    /// Events of request `number`, with their ids.
    fn batch(&self, number: u64) -> Vec<(String, Value)> {
        let event = |index: usize| {
            let id = past_id(number + index as u64).to_string();
            let kind = ["impression", "impression", "click"][index % 3];
            let errs = self.manners.errs && index == 1 && number.is_multiple_of(7);
            let ad = if errs {
                0
            } else {
                1 + (number + index as u64) % 20
            };
            let event = json!({"event_id": id, "kind": kind, "ad_id": ad, "placement": "top"});
            (id, event)
        };
        (0..self.manners.batch).map(event).collect()
    }

    fn deliver(&self, batch: &[(String, Value)], told: &mut Told) {
        let body = Value::from_iter(batch.iter().map(|(_, event)| event.clone())).to_string();
        let mut is_known = false;
        while !is_known {
            is_known = self.post(batch, &body, told);
            if !self.manners.insists || self.stop.load(Ordering::Relaxed) {
                return;
            }
            if !is_known {
                thread::sleep(PAUSE);
            }
        }
    }

    /// Sends once; whether every event of it was answered for.
    fn post(&self, batch: &[(String, Value)], body: &str, told: &mut Told) -> bool {
        let began = Instant::now();
        let headers = [("Content-Type", "application/json")];
        let send =
            |api: &SocketAddr| http::request(*api, "POST", "/v1/events", &headers, body.as_bytes());
        let mut answer = Err(ErrorKind::NotFound.into());
        for api in &self.apis {
            answer = send(api);
            if answer.is_ok() {
                break;
            }
        }
        told.waits.push(began.elapsed());
        let (status, rejected) = match &answer {
            Ok(answer) => (answer.status.to_string(), rejected(answer)),
            Err(error) => (error.kind().to_string(), BTreeMap::new()),
        };
        let taken = status == "202";
        *told.answers.entry(status).or_default() += 1;
        let (mut is_known, mut accepted) = (true, 0);
        for (index, (id, _)) in batch.iter().enumerate() {
            match rejected.get(&index).map(String::as_str) {
                None if taken => {
                    told.accepted.insert(id.clone());
                    accepted += 1;
                }
                None | Some("not_kept") => {
                    told.unclear.insert(id.clone());
                    is_known = false;
                }
                Some(_) => {
                    told.rejected.insert(id.clone());
                }
            }
        }
        if accepted > 0 {
            self.note_accepted(accepted);
        }
        is_known
    }

    fn note_accepted(&self, events: u64) {
        let now = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let last = self.last.fetch_max(now, Ordering::Relaxed);
        self.stall
            .fetch_max(now.saturating_sub(last), Ordering::Relaxed);
        self.accepted.fetch_add(events, Ordering::Relaxed);
    }
}

/// What an answer rejects: code by index.
fn rejected(answer: &http::Response) -> BTreeMap<usize, String> {
    if !matches!(answer.status, 202 | 422) {
        return BTreeMap::new();
    }
    let body = answer.json();
    let entries = body["rejected"].as_array().into_iter().flatten();
    entries
        .filter_map(|entry| {
            let index = usize::try_from(entry["index"].as_u64()?).ok()?;
            Some((index, entry["code"].as_str()?.to_owned()))
        })
        .collect()
}

/// A new id whose time lies in one of the hours events are spread over.
#[must_use]
pub fn past_id(number: u64) -> Uuid {
    let back = AGE + Duration::from_secs(3600 * (number % HOURS));
    let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let time = time.expect("a clock after 1970") - back;
    let millis = u64::try_from(time.as_millis()).unwrap_or_default();
    let random = *Uuid::new_v4().as_bytes();
    let mut tail = [0; 10];
    tail.copy_from_slice(&random[6..]);
    Builder::from_unix_timestamp_millis(millis, &tail).into_uuid()
}
