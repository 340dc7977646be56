use chrono::{DateTime, Utc};
use proptest::prelude::*;

use super::*;

const DELAY: Duration = Duration::from_secs(15);

fn zone(name: &str) -> ReportingZone {
    name.parse().unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse::<DateTime<Utc>>().unwrap().try_into().unwrap()
}

fn due(entry: &str, zone_name: &str, after: &str, now: &str) -> Vec<String> {
    let entry = Entry::named(entry).unwrap();
    let slots = entry.slots_due(&zone(zone_name), at(after), at(now), DELAY, 1_000);
    slots.iter().map(|slot| slot.at.to_string()).collect()
}

#[test]
fn an_hour_is_due_the_delay_after_its_end_and_not_before() {
    let due = |now| due("aggregate-last-hour", "UTC", "2026-11-22T10:00:00Z", now);
    assert_eq!(due("2026-11-22T11:00:14.999Z"), Vec::<String>::new());
    assert_eq!(due("2026-11-22T11:00:15Z"), ["2026-11-22T11:00:00Z"]);
}

#[test]
fn the_task_of_an_hour_s_end_is_the_hour_that_ended() {
    let entry = Entry::named("aggregate-last-hour").unwrap();
    let slot = Slot {
        entry,
        at: at("2026-11-22T10:30:00Z"),
    };
    let task = AggregateHour::from_message(&slot.task(&zone("Asia/Tehran"))).unwrap();
    assert_eq!(task.hour.to_rfc3339(), "2026-11-22T09:30:00+00:00");
    assert_eq!(slot.task(&zone("Asia/Tehran")).id, slot.task_id());
}

#[test]
fn after_26_hours_of_silence_every_hour_and_day_is_made_up_for_oldest_first() {
    let (after, now) = ("2026-03-28T22:00:00Z", "2026-03-30T00:00:20Z");
    let hours = due("aggregate-last-hour", "Europe/Berlin", after, now);
    assert_eq!(hours.len(), 26);
    assert_eq!(
        hours.first().map(String::as_str),
        Some("2026-03-28T23:00:00Z")
    );
    assert!(hours.is_sorted());
    let days = due("aggregate-last-day", "Europe/Berlin", after, now);
    assert_eq!(
        days,
        ["2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"],
        "a day of 23 hours"
    );
    assert_eq!(
        due("sweep-dirty", "Europe/Berlin", after, now),
        ["2026-03-30T00:00:00Z"]
    );
    assert_eq!(
        due("maintain-partitions", "UTC", after, now),
        ["2026-03-30T00:00:00Z"]
    );
}

#[test]
fn the_day_task_names_the_local_date_that_ended() {
    let entry = Entry::named("aggregate-last-day").unwrap();
    let slot = Slot {
        entry,
        at: at("2026-11-21T20:30:00Z"),
    };
    let task = AggregateDay::from_message(&slot.task(&zone("Asia/Tehran"))).unwrap();
    assert_eq!(task.day.to_string(), "2026-11-21");
}

proptest! {
    /// However often and unevenly beat looks, the slots it finds are those of one look.
    #[test]
    fn no_slot_is_missed_or_repeated(
        name in prop::sample::select(&["UTC", "Asia/Tehran", "Europe/Berlin", "Australia/Lord_Howe"][..]),
        entry in prop::sample::select(&ENTRIES[..2]),
        start in 1_700_000_000_000_i64..1_800_000_000_000,
        steps in prop::collection::vec(0..30_000_000_i64, 1..20),
    ) {
        let zone = zone(name);
        let start = Timestamp::from_millis(start).unwrap();
        let (mut now, mut after, mut found) = (start, start, Vec::new());
        for step in steps {
            now = now.saturating_add_millis(step);
            found.extend(entry.slots_due(&zone, after, now, DELAY, 1_000));
            after = found.last().map_or(after, |slot: &Slot| slot.at);
        }
        prop_assert_eq!(found, entry.slots_due(&zone, start, now, DELAY, 100_000));
    }

    #[test]
    fn a_slot_appears_the_moment_it_is_due(
        entry in prop::sample::select(&ENTRIES[..]),
        after in 1_700_000_000_000_i64..1_800_000_000_000,
    ) {
        let zone = zone("Australia/Lord_Howe");
        let after = Timestamp::from_millis(after).unwrap();
        let far = after.saturating_add_millis(2 * 25 * 3_600_000);
        let first = entry.next_after(&zone, after).unwrap();
        prop_assert!(first < far);
        let due = first.saturating_add_millis(entry.delay_millis(DELAY));
        let count = |now| entry.slots_due(&zone, after, now, DELAY, 10).len();
        prop_assert_eq!(count(due.saturating_add_millis(-1)), 0);
        prop_assert_eq!(count(due), 1);
    }
}
