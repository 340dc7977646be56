//! A batch on its way into the table: what is still to be inserted, and what became of the rest.

use std::collections::{BTreeSet, HashMap};

use adtally_domain::{Event, EventId, ReportingZone, Timestamp};
use chrono::{DateTime, NaiveDate, Utc};
use uuid::Uuid;

use super::Stored;
use super::known::Payload;
use super::refused::Refusal;
use crate::NewDeadLetter;
use crate::partitions::utc_day;

const DAY_MILLIS: i64 = 86_400_000;

/// Events without repetition, sorted by id: so two writers lock the same ids in the same order, and
/// the index is written at its end.
pub(super) struct Batch<'a> {
    pub(super) rows: Vec<&'a Event>,
    /// Dead letters made of events that cannot be stored.
    pub(super) buried: Vec<NewDeadLetter>,
    pub(super) stored: Stored,
    /// Later events with the id of one of the rows.
    repeats: HashMap<EventId, Vec<&'a Event>>,
}

impl<'a> Batch<'a> {
    pub(super) fn of(events: &'a [Event]) -> Self {
        let mut rows: Vec<&Event> = events.iter().collect();
        // Stable: of events with one id the first stays first.
        rows.sort_by_key(|event| event.id);
        let mut stored = Stored::default();
        let mut repeats: HashMap<EventId, Vec<&Event>> = HashMap::new();
        rows.dedup_by(|later, first| {
            let repeated = later.id == first.id;
            if repeated {
                stored.duplicates += 1;
                stored.conflicts += u64::from(!same_payload(first, later));
                repeats.entry(later.id).or_default().push(*later);
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
        self.rows.first().map(|event| event.occurred_at())
    }

    /// The UTC days of the events.
    pub(super) fn days(&self) -> BTreeSet<NaiveDate> {
        let mut days = BTreeSet::new();
        let mut last = None;
        for event in &self.rows {
            let time = event.occurred_at();
            let number = time.as_millis().div_euclid(DAY_MILLIS);
            if last.replace(number) != Some(number) {
                days.insert(utc_day(time));
            }
        }
        days
    }

    /// Takes out the events that are `known`, and says whether there were any.
    pub(super) fn drop_known(&mut self, known: &HashMap<Uuid, Payload>) -> bool {
        let (stored, repeats) = (&mut self.stored, &self.repeats);
        self.rows.retain(|event| {
            let payload = known.get(&event.id.as_uuid());
            if let Some(payload) = payload {
                stored.duplicates += 1;
                stored.conflicts += u64::from(!payload.is_of(event));
                // The event they repeat was not the first after all.
                for repeat in repeats.get(&event.id).into_iter().flatten() {
                    stored.conflicts -= u64::from(!same_payload(event, repeat));
                    stored.conflicts += u64::from(!payload.is_of(repeat));
                }
            }
            payload.is_none()
        });
        !known.is_empty()
    }

    /// Takes out the events that `closed` holds for: their raw events are closed for good.
    pub(super) fn bury_too_old(&mut self, closed: impl Fn(Timestamp) -> bool) {
        let buried = &mut self.buried;
        self.rows.retain(|event| {
            let too_old = closed(event.occurred_at());
            if too_old {
                let detail = "the raw events of its hour were dropped, so it cannot be counted";
                buried.push(NewDeadLetter::of_event(event, "too_old", detail));
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
        self.rows.retain(|event| {
            let refusal = refusals.get(&event.id.as_uuid());
            if let Some(refusal) = refusal {
                let detail = format!("{} (SQLSTATE {})", refusal.detail, refusal.code);
                buried.push(NewDeadLetter::of_event(event, "invalid_event", detail));
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
    pub(super) fn count(&self, is_counted: impl Fn(&Event) -> bool) -> u64 {
        self.rows.iter().filter(|event| is_counted(event)).count() as u64
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

/// Whether two events with one id say the same. When and through whom they came is not theirs.
fn same_payload(a: &Event, b: &Event) -> bool {
    a.kind == b.kind
        && a.ad_id == b.ad_id
        && a.impression_id == b.impression_id
        && a.ip == b.ip
        && a.visitor_id == b.visitor_id
        && a.user_agent == b.user_agent
        && a.referer == b.referer
        && a.placement == b.placement
}
