//! Sends requests on schedule and keeps the books.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::rc::Rc;
use std::time::{Duration, Instant};

use adtally_domain::{EventId, Timestamp};
use adtally_service::{Shutdown, clock};
use futures_util::future::join_all;
use tokio::sync::Semaphore;
use tokio::task::spawn_local;

use super::alarm::Alarm;
use super::latency::Latencies;
use super::ledger::Ledger;
use super::schedule::Schedule;
use super::traffic::Traffic;
use crate::api::{Client, NoAnswer, Response};

/// What the generator calls itself in `x-adtally-source`.
const SOURCE: &str = "adtally-load";
/// How long after the last due time requests may still leave that had to wait for a connection.
const GRACE: Duration = Duration::from_secs(1);
/// How often progress is shown.
const SHOW_EVERY: Duration = Duration::from_millis(200);

/// What to send, how fast, and to whom.
pub(super) struct Plan {
    /// When each request is due.
    pub(super) schedule: Schedule,
    /// Events in one request.
    pub(super) batch: u32,
    /// The most requests under way at once.
    pub(super) connections: u32,
    /// The share of requests that are sent twice.
    pub(super) repeat_share: f64,
}

/// What was sent, and what came of it.
#[derive(Debug, Default)]
pub(super) struct Books {
    /// Each event's fate.
    pub(super) ledger: Ledger,
    /// From a request's due time to its answer, or to the end of the wait for one. Requests that
    /// were refused at once (5xx, no connection) are left out: they would make the rest look fast.
    pub(super) latencies: Latencies,
    /// From a request's due time to the moment it left: what the generator itself was late.
    pub(super) lateness: Latencies,
    /// Requests that left, repetitions not counted.
    pub(super) requests: u64,
    /// Requests that left a second time.
    pub(super) repeated: u64,
    /// What the first request that failed said.
    pub(super) first_failure: Option<String>,
    /// From the first due time to the end of the schedule, or to when it was broken off.
    pub(super) elapsed: Duration,
}

struct Run {
    plan: Plan,
    client: Client,
    traffic: RefCell<Traffic>,
    books: RefCell<Books>,
    started: Instant,
    /// One permit for each request that is due and has not left.
    due: Semaphore,
    next: Cell<u64>,
}

/// Sends all requests of `plan`, or until `shutdown`; `show` is called now and then.
///
/// # Errors
/// When the operating system gives no timer.
pub(super) async fn drive(
    plan: Plan,
    client: Client,
    traffic: Traffic,
    ledger: Ledger,
    shutdown: &Shutdown,
    show: impl Fn(&Books, Duration),
) -> std::io::Result<Books> {
    let alarm = Alarm::new()?;
    let run = Rc::new(Run {
        client,
        traffic: RefCell::new(traffic),
        books: RefCell::new(Books {
            ledger,
            ..Books::default()
        }),
        started: Instant::now(),
        due: Semaphore::new(0),
        next: Cell::new(0),
        plan,
    });
    let senders: Vec<_> = (0..run.plan.connections)
        .map(|_| spawn_local(Rc::clone(&run).send_until_done()))
        .collect();
    let pace = async {
        let paced = tokio::select! {
            paced = run.pace(&alarm) => paced,
            () = shutdown.requested() => Ok(()),
        };
        let elapsed = run.started.elapsed();
        run.due.close();
        join_all(senders).await;
        paced.map(|()| elapsed)
    };
    let elapsed = tokio::select! {
        elapsed = pace => elapsed?,
        never = run.show_for_ever(show) => match never {},
    };
    let mut books = run.books.take();
    books.elapsed = elapsed;
    Ok(books)
}

impl Run {
    /// Makes each request due at its time, and gives those that had to wait some grace.
    async fn pace(&self, alarm: &Alarm) -> std::io::Result<()> {
        let schedule = self.plan.schedule;
        let mut released = 0;
        while released < schedule.requests() {
            alarm
                .wait(
                    schedule
                        .due(released)
                        .saturating_sub(self.started.elapsed()),
                )
                .await?;
            let due = schedule.due_by(self.started.elapsed());
            let more = usize::try_from(due.saturating_sub(released)).unwrap_or(usize::MAX);
            self.due.add_permits(more.min(Semaphore::MAX_PERMITS / 2));
            released = due.max(released);
        }
        // The last request's interval belongs to the run, too.
        alarm
            .wait(
                schedule
                    .due(released)
                    .saturating_sub(self.started.elapsed()),
            )
            .await?;
        let all_left = async {
            while self.next.get() < released {
                alarm.wait(Duration::from_millis(1)).await?;
            }
            Ok(())
        };
        tokio::time::timeout(GRACE, all_left)
            .await
            .unwrap_or(Ok(()))
    }

    /// Sends one request after the other, each once it is due.
    async fn send_until_done(self: Rc<Self>) {
        let (mut ids, mut body) = (Vec::new(), Vec::new());
        while let Ok(permit) = self.due.acquire().await {
            permit.forget();
            let number = self.next.replace(self.next.get() + 1);
            self.send(self.plan.schedule.due(number), &mut ids, &mut body)
                .await;
        }
    }

    async fn send(&self, due: Duration, ids: &mut Vec<EventId>, body: &mut Vec<u8>) {
        ids.clear();
        body.clear();
        let repeat = self.write_request(ids, body);
        let body = actix_web::web::Bytes::copy_from_slice(body);
        let left = self.started.elapsed();
        let answer = self.client.post_events(SOURCE, body.clone(), false).await;
        self.enter(ids, &answer, repeat, due, left);
        if repeat {
            // A retry of the same events: whatever it is answered, the first answer stands.
            let _repeated = self.client.post_events(SOURCE, body, false).await;
            self.books.borrow_mut().repeated += 1;
        }
    }

    /// Writes a request's events; whether it is to be sent twice.
    fn write_request(&self, ids: &mut Vec<EventId>, body: &mut Vec<u8>) -> bool {
        let now = Timestamp::try_from(clock::now()).unwrap_or(Timestamp::EPOCH);
        let mut traffic = self.traffic.borrow_mut();
        if self.plan.batch == 1 {
            ids.push(traffic.write_event(now, body));
        } else {
            for number in 0..self.plan.batch {
                body.push(if number == 0 { b'[' } else { b',' });
                ids.push(traffic.write_event(now, body));
            }
            body.push(b']');
        }
        traffic.happens(self.plan.repeat_share)
    }

    fn enter(
        &self,
        ids: &[EventId],
        answer: &Result<Response, NoAnswer>,
        twice: bool,
        due: Duration,
        left: Duration,
    ) {
        let mut books = self.books.borrow_mut();
        books.requests += 1;
        books.ledger.enter(ids, answer, twice);
        books.lateness.record(left.saturating_sub(due));
        let failure = match answer {
            Ok(response) if response.status < 400 => None,
            Ok(response) => Some(format!("status {}", response.status)),
            Err(error) => Some(error.to_string()),
        };
        let refused_at_once = match answer {
            Ok(response) => response.status >= 500,
            Err(error) => matches!(error, NoAnswer::Unreachable(_)),
        };
        if !refused_at_once {
            books
                .latencies
                .record(self.started.elapsed().saturating_sub(due));
        }
        if books.first_failure.is_none() {
            books.first_failure = failure;
        }
    }

    async fn show_for_ever(&self, show: impl Fn(&Books, Duration)) -> Infallible {
        loop {
            tokio::time::sleep(SHOW_EVERY).await;
            show(&self.books.borrow(), self.started.elapsed());
        }
    }
}
