//! What a run came to.

use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;

use super::drive::Books;
use super::latency::Latencies;
use super::ledger::Fate;
use super::verify::Verification;
use crate::numbers::{counted, per_second, short, thousands};

/// The result of a run.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    asked_rate: u32,
    sent_rate: u64,
    accepted_rate: u64,
    seconds: f64,
    requests: u64,
    unsent_requests: u64,
    repeated_requests: u64,
    events: u64,
    accepted: u64,
    rejected: u64,
    refused: u64,
    unknown: u64,
    latency_micros: Percentiles,
    lateness_micros: Percentiles,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_failure: Option<String>,
    /// What became of the events, when that was checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) verification: Option<Verification>,
}

/// Percentiles in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct Percentiles {
    count: u64,
    p50: u64,
    p90: u64,
    p99: u64,
    p99_9: u64,
    max: u64,
}

impl Report {
    /// The report of `books`, for a run that was to send `requests` requests at `rate` events per
    /// second.
    pub(super) fn new(books: &Books, rate: u32, requests: u64) -> Self {
        let count = |fate| books.ledger.count(fate);
        let events = Fate::ALL.into_iter().map(count).sum();
        Self {
            asked_rate: rate,
            sent_rate: per_second(events, books.elapsed),
            accepted_rate: per_second(count(Fate::Accepted), books.elapsed),
            seconds: books.elapsed.as_secs_f64(),
            requests: books.requests,
            unsent_requests: requests.saturating_sub(books.requests),
            repeated_requests: books.repeated,
            events,
            accepted: count(Fate::Accepted),
            rejected: count(Fate::Rejected),
            refused: count(Fate::Refused),
            unknown: count(Fate::Unknown),
            latency_micros: Percentiles::of(&books.latencies),
            lateness_micros: Percentiles::of(&books.lateness),
            first_failure: books.first_failure.clone(),
            verification: None,
        }
    }

    /// How many events were accepted.
    pub(super) fn accepted(&self) -> u64 {
        self.accepted
    }

    /// Writes the report as a person reads it.
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(
            out,
            "sent {} in {} in {}: {}/s of {}/s asked for",
            counted(self.events, "event"),
            counted(self.requests, "request"),
            short(Duration::from_secs_f64(self.seconds)),
            thousands(self.sent_rate),
            thousands(self.asked_rate),
        )?;
        writeln!(
            out,
            "answers: {} accepted ({}/s), {} rejected, {} refused, {} unknown",
            thousands(self.accepted),
            thousands(self.accepted_rate),
            thousands(self.rejected),
            thousands(self.refused),
            thousands(self.unknown),
        )?;
        if let Some(failure) = &self.first_failure {
            writeln!(out, "first failure: {failure}")?;
        }
        if self.repeated_requests > 0 {
            let requests = counted(self.repeated_requests, "request");
            writeln!(out, "{requests} sent twice")?;
        }
        if self.unsent_requests > 0 {
            let requests = counted(self.unsent_requests, "request");
            writeln!(
                out,
                "{requests} never left: every connection was waiting for an answer, \
                or the run was stopped"
            )?;
        }
        writeln!(out, "latency from due time: {}", self.latency_micros)?;
        writeln!(out, "left late by: {}", self.lateness_micros)
    }
}

impl Percentiles {
    fn of(latencies: &Latencies) -> Self {
        let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let per_mille = |per_mille| micros(latencies.per_mille(per_mille));
        Self {
            count: latencies.count(),
            p50: per_mille(500),
            p90: per_mille(900),
            p99: per_mille(990),
            p99_9: per_mille(999),
            max: micros(latencies.max()),
        }
    }
}

impl std::fmt::Display for Percentiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let show = |micros| short(Duration::from_micros(micros));
        write!(
            f,
            "p50 {}, p90 {}, p99 {}, p99.9 {}, max {}",
            show(self.p50),
            show(self.p90),
            show(self.p99),
            show(self.p99_9),
            show(self.max)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_what_was_asked_for_and_what_was_reached() {
        let mut books = Books {
            requests: 9_000,
            elapsed: Duration::from_secs(10),
            ..Books::default()
        };
        books.latencies.record(Duration::from_micros(1_500));
        let mut out = Vec::new();
        Report::new(&books, 1_000, 10_000).write(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("0/s of 1,000/s asked for"), "{text}");
        assert!(text.contains("1,000 requests never left"), "{text}");
        assert!(text.contains("latency from due time: p50 1.5 ms"), "{text}");
    }
}
