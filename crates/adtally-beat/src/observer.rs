//! Looks at the queues and the database now and then, so that every scrape finds what it saw.

use std::collections::HashMap;
use std::time::Duration;

use adtally_broker::{BrokerConfig, BrokerError, ConsumerSession};
use adtally_domain::{Entry, ReportingZone, Timestamp};
use adtally_service::Shutdown;
use adtally_store::{Observation, Store, StoreError};
use tokio::time::Instant;

use crate::metrics::Observed;

/// How often it looks: Prometheus asks every 15 seconds where nobody says otherwise.
const LOOK: Duration = Duration::from_secs(10);

/// Sees what no event passes through on its way: queues, marks, letters, partitions.
pub(crate) struct Observer {
    pub(crate) store: Store,
    pub(crate) broker: BrokerConfig,
    pub(crate) metrics: Observed,
    /// How long after its end an hour or day is due.
    pub(crate) delay: Duration,
}

/// What the looks before this one saw.
#[derive(Default)]
struct Memory {
    session: Option<ConsumerSession>,
    /// Since when a queue was not seen empty.
    filled: HashMap<String, Instant>,
    /// How long what the database knows of has waited for its total.
    stored: Duration,
}

impl Observer {
    /// Looks until `shutdown`. A server that is away leaves its gauges as they were.
    pub(crate) async fn run(self, shutdown: Shutdown) {
        let mut memory = Memory::default();
        loop {
            tokio::select! {
                () = self.look(&mut memory) => {}
                () = shutdown.requested() => break,
            }
            if shutdown.requested_within(LOOK).await {
                break;
            }
        }
        if let Some(session) = memory.session {
            session.close().await;
        }
    }

    async fn look(&self, memory: &mut Memory) {
        match self.observe().await {
            Ok((zone, seen)) => {
                memory.stored = waiting_for_totals(&zone, &seen);
                self.metrics.show(&zone, &seen, self.delay);
            }
            Err(error) => log::debug!("the database is not looked at: {error}"),
        }
        if let Err(error) = self.look_at_queues(memory).await {
            log::debug!("the queues are not looked at: {error}");
        }
        let topology = self.broker.topology();
        let tasks = topology.tasks_queue();
        let events = memory.filled.iter().filter(|(queue, _)| **queue != tasks);
        let queued = events.map(|(_, since)| since.elapsed()).max();
        let oldest = queued.unwrap_or_default().max(memory.stored);
        self.metrics.freshness.set(oldest.as_secs_f64());
    }

    async fn observe(&self) -> Result<(ReportingZone, Observation), StoreError> {
        let zone = self.store.zone().await?.unwrap_or(ReportingZone::UTC);
        Ok((zone, self.store.observe().await?))
    }

    /// A session that failed is not kept.
    async fn look_at_queues(&self, memory: &mut Memory) -> Result<(), BrokerError> {
        let session = match memory.session.take() {
            Some(session) => session,
            None => ConsumerSession::connect(&self.broker).await?,
        };
        let topology = self.broker.topology();
        for queue in topology.consumed_queues() {
            let found = session.queue_state(&queue).await?;
            let waited = if found.messages == 0 {
                memory.filled.remove(&queue);
                Duration::ZERO
            } else {
                let since = memory.filled.entry(queue.clone());
                since.or_insert_with(Instant::now).elapsed()
            };
            self.metrics.queue(&queue, found, waited);
        }
        let retries = topology.events_retry_queues().into_iter();
        for queue in retries.chain(topology.retry_queues()) {
            let found = session.queue_state(&queue).await?;
            self.metrics.retry_queue(&queue, found.messages);
        }
        memory.session = Some(session);
        self.metrics.looked_at_queues();
        Ok(())
    }
}

/// How long the oldest stored event has waited for its total: since its hour or day was marked, or has
/// been over if that was later. What workers hold is not seen; where they finish nothing, not even the
/// sweep of each minute, it has waited for as long as that is late.
fn waiting_for_totals(zone: &ReportingZone, seen: &Observation) -> Duration {
    let marked = overdue_hours(zone, seen).chain(overdue_days(zone, seen));
    let sweep = Entry::named("sweep-dirty").map(|sweep| lag(sweep, seen, Duration::ZERO));
    marked.chain(sweep).max().unwrap_or_default()
}

/// For each marked hour that is over, how long its roll-up could have been made.
pub(crate) fn overdue_hours(
    zone: &ReportingZone,
    seen: &Observation,
) -> impl Iterator<Item = Duration> {
    let hours = seen.marked_hours.iter();
    hours.filter_map(|(start, since)| since_due(zone.hour_of(*start).end, *since, seen.at))
}

/// The same of days.
pub(crate) fn overdue_days(
    zone: &ReportingZone,
    seen: &Observation,
) -> impl Iterator<Item = Duration> {
    let days = seen.marked_days.iter();
    days.filter_map(|(date, since)| since_due(zone.day(*date)?.end, *since, seen.at))
}

fn since_due(end: Timestamp, marked: Timestamp, now: Timestamp) -> Option<Duration> {
    (end <= now).then(|| between(end.max(marked), now))
}

/// How late the oldest slot of `entry` is that was due behind the last one a worker has finished.
pub(crate) fn lag(entry: Entry, seen: &Observation, delay: Duration) -> Duration {
    let unfinished = seen.unfinished_slots.iter();
    let slot = unfinished.filter(|(name, _)| *name == entry.name);
    let late = slot.map(|(_, slot)| between(entry.due_at(*slot, delay), seen.at));
    late.max().unwrap_or_default()
}

fn between(from: Timestamp, to: Timestamp) -> Duration {
    let millis = to.as_millis().saturating_sub(from.as_millis());
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        let time: chrono::DateTime<chrono::Utc> = text.parse().unwrap();
        Timestamp::try_from(time).unwrap()
    }

    fn seen() -> Observation {
        Observation {
            at: at("2026-11-22T12:00:30Z"),
            newest_event: None,
            marked_hours: Vec::new(),
            marked_days: Vec::new(),
            hour_rolled_up_at: None,
            day_rolled_up_at: None,
            new_letters: 0,
            partitions_ahead: 7,
            raw_from: None,
            unfinished_slots: Vec::new(),
        }
    }

    #[test]
    fn an_hour_waits_since_its_mark_but_not_before_its_end() {
        let zone = ReportingZone::UTC;
        let mut seen = seen();
        assert_eq!(waiting_for_totals(&zone, &seen), Duration::ZERO);
        seen.marked_hours = vec![(at("2026-11-22T11:00:00Z"), at("2026-11-22T11:20:00Z"))];
        assert_eq!(waiting_for_totals(&zone, &seen), Duration::from_secs(30));
        // Late events of long ago have waited for seconds, not for days.
        let late = (at("2026-11-01T08:00:00Z"), at("2026-11-22T12:00:20Z"));
        seen.marked_hours.insert(0, late);
        assert_eq!(waiting_for_totals(&zone, &seen), Duration::from_secs(30));
        assert_eq!(overdue_hours(&zone, &seen).count(), 2);
    }

    #[test]
    fn a_day_or_hour_that_runs_waits_for_nothing() {
        let zone = ReportingZone::UTC;
        let mut seen = seen();
        let early = at("2026-11-22T00:10:00Z");
        seen.marked_days = vec![("2026-11-22".parse().unwrap(), early)];
        seen.marked_hours = vec![(at("2026-11-22T12:00:00Z"), at("2026-11-22T12:00:01Z"))];
        assert_eq!(waiting_for_totals(&zone, &seen), Duration::ZERO);
        seen.marked_days
            .push(("2026-11-21".parse().unwrap(), early));
        let waited = Duration::from_secs(11 * 3_600 + 50 * 60 + 30);
        assert_eq!(waiting_for_totals(&zone, &seen), waited);
    }

    #[test]
    fn a_slot_is_late_from_when_it_was_due() {
        let mut seen = seen();
        let slot = at("2026-11-22T12:00:00Z");
        seen.unfinished_slots = vec![("aggregate-last-hour", slot), ("sweep-dirty", slot)];
        let lag = |name: &str| {
            let entry = Entry::named(name).unwrap();
            lag(entry, &seen, Duration::from_secs(15)).as_secs()
        };
        assert_eq!(lag("aggregate-last-hour"), 15);
        assert_eq!(lag("sweep-dirty"), 30);
        assert_eq!(lag("maintain-partitions"), 0);
    }
}
