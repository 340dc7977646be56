//! A batch on its way into the table: what is still to be inserted, and what became of the rest.

use std::collections::{BTreeSet, HashMap};

use adtally_domain::{EventId, ReportingZone, Timestamp};
use chrono::{DateTime, NaiveDate, Utc};
use uuid::Uuid;

use super::known::Known;
use super::refused::Refusal;
use super::rows::Row;
use super::{EventBatch, Stored};
use crate::NewDeadLetter;
use crate::partitions::utc_day;

const DAY_MILLIS: i64 = 86_400_000;

/// Events without repetition, sorted by id: so writers lock the same ids in the same order (but see
/// [`Passes`](super::passes::Passes)), and the index is written at its end.
pub(super) struct Batch<'a> {
    pub(super) rows: Vec<Row<'a>>,
    /// Dead letters made of events that cannot be stored.
    pub(super) buried: Vec<NewDeadLetter>,
    pub(super) stored: Stored,
    /// Later events with the id of one of the rows.
    repeats: HashMap<EventId, Vec<Row<'a>>>,
}

impl<'a> Batch<'a> {
    pub(super) fn of(given: &'a EventBatch) -> Self {
        let mut rows: Vec<Row<'a>> = given.rows.iter().collect();
        rows.sort_unstable_by_key(Row::order);
        let mut stored = Stored::default();
        let mut repeats: HashMap<EventId, Vec<Row<'a>>> = HashMap::new();
        rows.dedup_by(|later, first| {
            let repeated = later.id() == first.id();
            if repeated {
                stored.duplicates += 1;
                stored.conflicts += u64::from(later.payload() != first.payload());
                repeats.entry(later.id()).or_default().push(*later);
            }
            repeated
        });
        Self {
            rows,
            buried: Vec::new(),
            stored,
            repeats,
        }
    }

    /// The time of the oldest event.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.rows.first().map(Row::occurred_at)
    }

    /// The UTC days of the events.
    pub(super) fn days(&self) -> BTreeSet<NaiveDate> {
        let mut days = BTreeSet::new();
        let mut last = None;
        for row in &self.rows {
            let time = row.occurred_at();
            let number = time.as_millis().div_euclid(DAY_MILLIS);
            if last.replace(number) != Some(number) {
                days.insert(utc_day(time));
            }
        }
        days
    }

    /// Takes out the events that are `known`, which are sorted by id, and says whether there were any.
    pub(super) fn drop_known(&mut self, known: &[Known]) -> bool {
        let (stored, repeats) = (&mut self.stored, &self.repeats);
        let before = self.rows.len();
        let mut known = known.iter().peekable();
        self.rows.retain(|row| {
            while known
                .next_if(|known| known.id() < row.id().as_uuid())
                .is_some()
            {}
            let Some(known) = known.next_if(|known| known.id() == row.id().as_uuid()) else {
                return true;
            };
            stored.duplicates += 1;
            stored.conflicts += u64::from(!known.has_payload_of(row));
            // The event they repeat was not the first after all.
            for repeat in repeats.get(&row.id()).into_iter().flatten() {
                stored.conflicts -= u64::from(repeat.payload() != row.payload());
                stored.conflicts += u64::from(!known.has_payload_of(repeat));
            }
            false
        });
        self.rows.len() < before
    }

    /// Takes out the events that `closed` holds for: their raw events are closed for good.
    pub(super) fn bury_too_old(&mut self, closed: impl Fn(Timestamp) -> bool) {
        let buried = &mut self.buried;
        self.rows.retain(|row| {
            let too_old = closed(row.occurred_at());
            if too_old {
                let detail = "the raw events of its hour were dropped, so it cannot be counted";
                buried.push(NewDeadLetter::of_event(&row.event(), "too_old", detail));
            }
            !too_old
        });
        self.stored.too_old = self.count_buried("too_old");
    }

    /// Takes out the events the table refuses.
    pub(super) fn bury_refused(&mut self, refusals: Vec<Refusal>) {
        let refusals: HashMap<Uuid, Refusal> = refusals
            .into_iter()
            .map(|refusal| (refusal.event_id, refusal))
            .collect();
        let buried = &mut self.buried;
        self.rows.retain(|row| {
            let refusal = refusals.get(&row.id().as_uuid());
            if let Some(refusal) = refusal {
                let detail = format!("{} (SQLSTATE {})", refusal.detail, refusal.code);
                buried.push(NewDeadLetter::of_event(
                    &row.event(),
                    "invalid_event",
                    detail,
                ));
            }
            refusal.is_none()
        });
        self.stored.invalid = self.count_buried("invalid_event");
    }

    fn count_buried(&self, reason: &str) -> u64 {
        let of_reason = self.buried.iter().filter(|letter| letter.reason == reason);
        of_reason.count() as u64
    }

    /// How many of the events to insert `is_counted` holds for.
    pub(super) fn count(&self, is_counted: impl Fn(&Row<'_>) -> bool) -> u64 {
        self.rows.iter().filter(|row| is_counted(row)).count() as u64
    }
}

/// The first instants of the hours that hold `times`. Cheap when the times are sorted.
pub(super) fn hours(
    zone: ReportingZone,
    times: impl Iterator<Item = Timestamp>,
) -> Vec<DateTime<Utc>> {
    let mut hours = BTreeSet::new();
    let mut current: Option<adtally_domain::Hour> = None;
    for time in times {
        if !current.is_some_and(|hour| hour.start <= time && time < hour.end) {
            let hour = zone.hour_of(time);
            hours.insert(hour.start.to_datetime());
            current = Some(hour);
        }
    }
    hours.into_iter().collect()
}
