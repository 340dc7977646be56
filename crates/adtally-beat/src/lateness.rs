//! How long stored events have waited for their totals, and how late slots are.

use std::time::Duration;

use adtally_domain::{Entry, ReportingZone, Timestamp};
use adtally_store::Observation;

/// How long the oldest stored event has waited for its total: since its hour or day was marked, or since
/// that was over if it was later. What workers have in hand is not seen. Where they finish nothing, not even
/// the sweep of each minute, the oldest event has waited for as long as that is late.
pub(crate) fn waiting_for_totals(zone: &ReportingZone, seen: &Observation) -> Duration {
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
