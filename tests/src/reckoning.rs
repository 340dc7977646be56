//! The reckoning after a fault: every id by itself, then the totals.

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::traffic::Told;
use crate::{Supervised, System};

/// How long everything accepted may take to be stored once the fault is over.
const DRAIN: Duration = Duration::from_secs(120);

/// What a fault came to.
#[derive(Debug)]
pub struct Reckoning {
    /// Events answered for with 202.
    pub accepted: usize,
    /// Rows of `events`.
    pub stored: usize,
    /// Events that became dead letters and still are.
    pub dead: usize,
    /// Events that came again and were known, as far as the workers that still live counted them.
    pub duplicates: u64,
    /// The longest time in which nothing was accepted.
    pub stall: Duration,
    /// The longest time a client waited for an answer.
    pub longest_wait: Duration,
    /// All that was not as promised.
    pub broken: Vec<String>,
}

impl fmt::Display for Reckoning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "accepted {}, stored {}, dead {}, duplicates skipped {}, longest stall {:.1} s, \
             longest answer {:.1} s",
            self.accepted,
            self.stored,
            self.dead,
            self.duplicates,
            self.stall.as_secs_f32(),
            self.longest_wait.as_secs_f32(),
        )
    }
}

/// The ids of a system's events, and where they are.
struct Ids {
    stored: BTreeSet<String>,
    dead: BTreeSet<String>,
}

impl System {
    /// Waits until nothing is on its way any more, then holds every id against what was told of
    /// it, and the totals against the events.
    ///
    /// Nothing answered 202 may be missing, nothing refused may be there, nothing may be there
    /// twice; hours must equal events, and days hours.
    ///
    /// # Panics
    /// When the database or the operator's tool does not answer.
    #[must_use]
    pub fn reckon(&self, told: &Told, workers: &[Supervised]) -> Reckoning {
        let mut broken = Vec::new();
        if let Some(trouble) = self.drain(told) {
            broken.push(trouble);
        }
        let missing = self.missing(told);
        let ids = self.ids();
        let lost = first(&missing);
        note(
            &mut broken,
            missing.len(),
            "accepted and neither stored nor dead",
            lost,
        );
        let allowed = &told.accepted | &told.unclear;
        let invented = &(&ids.stored | &ids.dead) - &allowed;
        note(
            &mut broken,
            invented.len(),
            "stored or dead and never accepted",
            first(&invented),
        );
        let both = &ids.stored & &ids.dead;
        note(&mut broken, both.len(), "stored and dead", first(&both));
        let rows = self.count("SELECT count(*) FROM events");
        if rows != ids.stored.len() as u64 {
            broken.push(format!("{rows} rows for {} ids", ids.stored.len()));
        }
        self.settle();
        let audit = self.audit();
        if audit["ok"] != true {
            broken.push(format!("the audit: {}", audit["mismatches"]));
        }
        Reckoning {
            accepted: told.accepted.len(),
            stored: ids.stored.len(),
            dead: ids.dead.len(),
            duplicates: workers.iter().map(duplicates).sum(),
            stall: told.stall,
            longest_wait: told.waits.last().copied().unwrap_or_default(),
            broken,
        }
    }

    /// Waits until everything accepted is stored and nothing waits; what does after two minutes.
    fn drain(&self, told: &Told) -> Option<String> {
        let deadline = Instant::now() + DRAIN;
        loop {
            let asked = Instant::now();
            let missing = self.missing(told).len();
            if missing == 0 && self.waiting() == 0 {
                return None;
            }
            if Instant::now() > deadline {
                let (waiting, limit) = (self.waiting(), DRAIN.as_secs());
                return Some(format!(
                    "{missing} missing and {waiting} waiting after {limit} s"
                ));
            }
            // Reading all ids is work for the database too, which has better things to do.
            std::thread::sleep(Duration::from_millis(200).max(2 * asked.elapsed()));
        }
    }

    fn missing(&self, told: &Told) -> BTreeSet<String> {
        let ids = self.ids();
        let missing = told.accepted.difference(&ids.stored);
        missing
            .filter(|id| !ids.dead.contains(*id))
            .cloned()
            .collect()
    }

    fn ids(&self) -> Ids {
        let dead = "SELECT event_id FROM dead_letters \
                    WHERE event_id IS NOT NULL AND state <> 'requeued'";
        Ids {
            stored: self.event_ids(),
            dead: self.sql(dead).lines().map(str::to_owned).collect(),
        }
    }

    /// How many messages wait in the event queues and how many events in the spool.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        let audit = self.audit();
        let queued: u64 = audit["queued"]
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(queue, _)| !queue.contains("tasks"))
            .filter_map(|(_, depth)| depth.as_u64())
            .sum();
        let spooled = audit["spooled"]["events"].as_f64().unwrap_or_default();
        queued + spooled as u64
    }
}

fn duplicates(worker: &Supervised) -> u64 {
    let process = worker.process();
    process.metric("adtally_events_duplicate_total") as u64
}

fn first(ids: &BTreeSet<String>) -> Value {
    ids.iter().take(3).cloned().collect()
}

fn note(broken: &mut Vec<String>, count: usize, what: &str, examples: Value) {
    if count > 0 {
        broken.push(format!("{count} events are {what}, such as {examples}"));
    }
}
