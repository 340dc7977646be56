//! A system under bad input, and the reckoning at the end.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime};

use adtally_domain::{EventId, Timestamp};
use adtally_tests::http::{self, Response};
use adtally_tests::{Process, System, until};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use super::wire::Heard;

/// An API and a worker that are about to be mistreated, and what they may have kept of it.
pub(super) struct Subject {
    pub(super) system: System,
    pub(super) worker: Process,
    /// Ids of the events that must be stored.
    good: BTreeSet<String>,
    /// Ids of the events that nobody answered for: stored or not, as it happens.
    unknown: BTreeSet<String>,
    /// Everything that was not as promised.
    findings: Vec<String>,
}

impl Subject {
    pub(super) fn new(name: &str) -> Self {
        let (system, worker) = System::with_worker(name);
        Self {
            system,
            worker,
            good: BTreeSet::new(),
            unknown: BTreeSet::new(),
            findings: Vec::new(),
        }
    }

    /// Notes that `what` was not as promised.
    pub(super) fn finding(&mut self, what: impl Into<String>) {
        self.findings.push(what.into());
    }

    /// Notes a finding unless `seen` is as `promised`.
    pub(super) fn compare<T: PartialEq + std::fmt::Debug>(
        &mut self,
        what: &str,
        seen: T,
        promised: T,
    ) {
        if seen != promised {
            self.finding(format!("{what}: {seen:?} instead of {promised:?}"));
        }
    }

    /// Remembers that the event `id` must be stored.
    pub(super) fn expect_stored(&mut self, id: impl Into<String>) {
        self.good.insert(id.into());
    }

    /// Remembers that the event `id` may be stored.
    pub(super) fn may_be_stored(&mut self, id: impl Into<String>) {
        self.unknown.insert(id.into());
    }

    /// POSTs `body` as JSON.
    pub(super) fn post(&self, body: &[u8]) -> Response {
        self.post_with(&[("Content-Type", "application/json")], body)
    }

    /// POSTs `body` with `headers`.
    pub(super) fn post_with(&self, headers: &[(&str, &str)], body: &[u8]) -> Response {
        let api = self.system.api();
        http::request(api, "POST", "/v1/events?ids=1", headers, body).expect("the API answers")
    }

    /// POSTs a body that is refused as a whole.
    pub(super) fn refuses(&mut self, what: &str, body: &[u8], status: u16, code: &str) {
        let response = self.post(body);
        self.problem(what, &response, status, code);
    }

    /// Notes a finding unless `response` is the problem document of `code`.
    pub(super) fn problem(&mut self, what: &str, response: &Response, status: u16, code: &str) {
        let seen = (
            response.status,
            response.header("content-type").unwrap_or_default(),
            problem_code(response),
        );
        let promised = (status, "application/problem+json", code.to_owned());
        self.compare(what, seen, promised);
    }

    /// POSTs one event, which is refused with `code`.
    pub(super) fn rejects(&mut self, what: &str, event: &[u8], code: &str) {
        let response = self.post(event);
        let first = parsed(&response)["rejected"][0]["code"].clone();
        self.compare(what, (response.status, first), (422, json!(code)));
    }

    /// POSTs events that must all be taken, and remembers their ids.
    pub(super) fn takes(&mut self, what: &str, events: &[u8]) -> Vec<String> {
        let response = self.post(events);
        self.taken(what, &response)
    }

    /// The ids that `response` answers for, of which none may be missing.
    pub(super) fn taken(&mut self, what: &str, response: &Response) -> Vec<String> {
        let body = parsed(response);
        self.compare(
            what,
            (response.status, body["rejected"].clone()),
            (202, json!([])),
        );
        self.kept(&body)
    }

    /// Remembers the ids in an answer.
    pub(super) fn kept(&mut self, answer: &Value) -> Vec<String> {
        let ids = answer["ids"].as_array().into_iter().flatten();
        let ids: Vec<String> = ids.filter_map(|id| Some(id.as_str()?.to_owned())).collect();
        self.good.extend(ids.iter().cloned());
        ids
    }

    /// The id of an event that happens now.
    pub(super) fn new_event_id(&self) -> String {
        let time = DateTime::parse_from_rfc3339(&from_now(-1)).expect("a time");
        let time = Timestamp::try_from(time.to_utc()).expect("a time of our days");
        let mut random = [0; 10];
        random.copy_from_slice(&Uuid::new_v4().as_bytes()[..10]);
        EventId::v7(time, random).to_string()
    }

    /// How many events must be stored so far.
    pub(super) fn taken_so_far(&self) -> u64 {
        self.good.len() as u64
    }

    /// Remembers the ids in all answers.
    pub(super) fn kept_of(&mut self, heard: &Heard) {
        for answer in &heard.answers {
            self.kept(&parsed(answer));
        }
    }

    /// The reckoning: API and worker never stopped and can do their work, exactly the events that
    /// were taken are stored, and nothing became a dead letter.
    pub(super) fn stored_only_what_was_taken(self) {
        self.reckon(&[]);
    }

    /// The reckoning with dead letters, each by its queue and its reason.
    pub(super) fn reckon(mut self, letters: &[(&str, &str)]) {
        self.wait_for_both_queues();
        let mut promised: Vec<String> = letters
            .iter()
            .map(|(queue, reason)| format!("{}.{queue}|{reason}", self.system.prefix()))
            .collect();
        promised.sort();
        let kept = self.letters(promised.len());
        if kept != promised {
            let whole = "SELECT source, reason, detail, encode(substr(body, 1, 200), 'escape') \
                         FROM dead_letters ORDER BY 1, 2, 4";
            let whole = self.system.sql(whole);
            self.finding(format!(
                "dead letters {kept:#?}\ninstead of {promised:#?}\n{whole}"
            ));
        }
        let stored = self.system.sql("SELECT event_id FROM events");
        let stored: BTreeSet<String> = stored.lines().map(str::to_owned).collect();
        let lost: Vec<_> = self.good.difference(&stored).cloned().collect();
        let permitted = &self.good | &self.unknown;
        let invented: Vec<_> = stored.difference(&permitted).cloned().collect();
        self.compare("lost events", lost, Vec::new());
        self.compare("invented events", invented, Vec::new());
        self.check_processes();
        assert!(self.findings.is_empty(), "{}", self.findings.join("\n"));
    }

    /// Puts one event behind whatever else is in each queue of events, and waits for both.
    fn wait_for_both_queues(&mut self) {
        let events = json!([
            {"ad_id": 1, "kind": "impression"},
            {"ad_id": 1, "kind": "click"},
        ]);
        let last = self.system.accept(&events);
        let query = format!(
            "SELECT count(*) FROM events WHERE event_id IN ('{}')",
            last.join("', '")
        );
        until("the last events are stored", || {
            let ended = self.worker.exit_status();
            assert!(
                ended.is_none(),
                "the worker: {ended:?}\n{}",
                self.worker.log()
            );
            (self.system.count(&query) == 2).then_some(())
        });
        self.good.extend(last);
    }

    /// The dead letters, once there are `count`, or when that takes too long.
    fn letters(&self, count: usize) -> Vec<String> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let letters = self.system.sql("SELECT source, reason FROM dead_letters");
            let mut letters: Vec<_> = letters.lines().map(str::to_owned).collect();
            if letters.len() >= count || Instant::now() > deadline {
                letters.sort();
                return letters;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn check_processes(&mut self) {
        let api = self.system.api_process();
        let mut findings = Vec::new();
        for (name, process) in [("API", api), ("worker", &self.worker)] {
            if let Some(status) = process.exit_status() {
                findings.push(format!("the {name} ended: {status}\n{}", process.log()));
                continue;
            }
            let live = http::request(process.address, "GET", "/livez", &[], b"");
            if live.map(|live| live.status).ok() != Some(200) || !process.is_ready() {
                findings.push(format!("the {name} is not well:\n{}", process.log()));
            }
            if process.log().contains("panicked") {
                findings.push(format!("the {name} panicked:\n{}", process.log()));
            }
        }
        self.findings.extend(findings);
    }
}

/// The answer's body as JSON, null when it is none.
pub(super) fn parsed(response: &Response) -> Value {
    serde_json::from_slice(&response.body).unwrap_or_default()
}

fn problem_code(response: &Response) -> String {
    let problem = parsed(response);
    let code = problem["code"].as_str().unwrap_or_default();
    let explained = problem["detail"].as_str().is_some_and(|d| !d.is_empty());
    if explained && problem["status"] == response.status {
        code.to_owned()
    } else {
        format!("{code} (without a detail or with another status)")
    }
}

/// An instant as RFC 3339 with milliseconds, `seconds` from now.
pub(super) fn from_now(seconds: i64) -> String {
    let now: DateTime<Utc> = SystemTime::now().into();
    let then = now + TimeDelta::seconds(seconds);
    then.to_rfc3339_opts(SecondsFormat::Millis, true)
}
