//! A batch on its way into the table: what is still to be inserted, and what became of the rest.

use std::collections::HashMap;

use adtally_domain::{DeadLetterReason, EventId, EventKind, ReportingZone, Timestamp};
use chrono::{DateTime, NaiveDate, Utc};
use uuid::Uuid;

use super::copy_buffer::RowRef;
use super::existing::Existing;
use super::limits::Untimely;
use super::rejected::RejectedRow;
use super::{EventBatch, Stored};
use crate::marks::Added;
use crate::partitions::{self, utc_day};
use crate::{Measure, NewDeadLetter};

/// Events without repetition, sorted by id: so writers lock the same ids in the same order (but see
/// [`InsertOrder`](super::insert_order::InsertOrder)), and the index is written at its end.
pub(super) struct PendingInsert<'a> {
    pub(super) rows: Vec<RowRef<'a>>,
    /// Dead letters made of events that cannot be stored.
    pub(super) dead: Vec<NewDeadLetter>,
    pub(super) stored: Stored,
    /// Later events with the id of one of the rows.
    repeats: HashMap<EventId, Vec<RowRef<'a>>>,
    /// The first and the last id, also when their events were taken out since.
    ends: Option<(EventId, EventId)>,
}

/// The marks of a batch: the first instant of each hour of its events, and what they add to it.
#[derive(Debug, Default)]
pub(super) struct Marks {
    pub(super) hours: Vec<DateTime<Utc>>,
    pub(super) added: Vec<Vec<u8>>,
}

impl<'a> PendingInsert<'a> {
    pub(super) fn of(given: &'a EventBatch) -> Self {
        let mut batch = Self {
            rows: given.rows.iter().collect(),
            dead: Vec::new(),
            stored: Stored::default(),
            repeats: HashMap::new(),
            ends: None,
        };
        // Most batches come in order and repeat nothing, and a connection waits meanwhile.
        let in_order = |row: &RowRef<'_>, next: &RowRef<'_>| row.order().0 < next.order().0;
        if !batch.rows.is_sorted_by(in_order) {
            batch.sort();
        }
        let ends = batch.rows.first().zip(batch.rows.last());
        batch.ends = ends.map(|(first, last)| (first.id(), last.id()));
        batch
    }

    /// Sorts the rows and takes out those that repeat another's id.
    fn sort(&mut self) {
        let (stored, repeats) = (&mut self.stored, &mut self.repeats);
        self.rows.sort_unstable_by_key(RowRef::order);
        self.rows.dedup_by(|later, first| {
            let repeated = later.id() == first.id();
            if repeated {
                stored.duplicates += 1;
                stored.conflicts += u64::from(later.payload() != first.payload());
                repeats.entry(later.id()).or_default().push(*later);
            }
            repeated
        });
    }

    /// The first and the last id of all events it was given.
    pub(super) fn ends(&self) -> Option<(Uuid, Uuid)> {
        self.ends
            .map(|(first, last)| (first.as_uuid(), last.as_uuid()))
    }

    /// The times of the first and the last event to insert.
    pub(super) fn span(&self) -> Option<(Timestamp, Timestamp)> {
        let (first, last) = (self.rows.first()?, self.rows.last()?);
        Some((first.occurred_at(), last.occurred_at()))
    }

    /// The UTC days of the events.
    pub(super) fn days(&self) -> Vec<NaiveDate> {
        self.periods(|time| {
            let day = utc_day(time);
            (day, partitions::end_of(day))
        })
    }

    /// A mark for each hour of the events.
    pub(super) fn marks(&self, zone: ReportingZone) -> Marks {
        let (mut marks, mut added) = (Marks::default(), Added::default());
        let mut rest = self.rows.as_slice();
        while let [first, ..] = rest {
            let hour = zone.hour_of(first.occurred_at());
            let within = rest.partition_point(|row| row.occurred_at() < hour.end);
            // The last instant of all is in an hour that seems to end with it.
            let (rows, others) = rest.split_at(within.max(1));
            for row in rows {
                added.push(row.ad_id(), Measure::of(row.kind()));
            }
            marks.hours.push(hour.start.to_datetime());
            marks.added.push(added.take());
            rest = others;
        }
        marks
    }

    /// What `period` says of the events' times, once for all that are before the end it says too. Looks
    /// only for where periods end.
    fn periods<T: PartialEq>(&self, period: impl Fn(Timestamp) -> (T, Timestamp)) -> Vec<T> {
        let (mut periods, mut rest) = (Vec::new(), self.rows.as_slice());
        while let [first, others @ ..] = rest {
            let (period, end) = period(first.occurred_at());
            periods.push(period);
            let within = others.partition_point(|row| row.occurred_at() < end);
            rest = others.get(within..).unwrap_or_default();
        }
        // The last instant of all is in a period that seems to end with it.
        periods.dedup();
        periods
    }

    /// Takes out the events that are among the `existing`, which are sorted by id, and says whether there
    /// were any.
    pub(super) fn take_out_existing(&mut self, existing: &[Existing]) -> bool {
        let (stored, repeats) = (&mut self.stored, &self.repeats);
        let before = self.rows.len();
        let mut existing = existing.iter().peekable();
        self.rows.retain(|row| {
            let id = row.id().as_uuid();
            while existing.next_if(|first| first.id() < id).is_some() {}
            let Some(first) = existing.next_if(|first| first.id() == id) else {
                return true;
            };
            stored.duplicates += 1;
            stored.conflicts += u64::from(!first.has_payload_of(row));
            // The event they repeat was not the first after all.
            for repeat in repeats.get(&row.id()).into_iter().flatten() {
                stored.conflicts -= u64::from(repeat.payload() != row.payload());
                stored.conflicts += u64::from(!first.has_payload_of(repeat));
            }
            false
        });
        self.rows.len() < before
    }

    /// Takes out the events whose times `check` finds fault with.
    pub(super) fn take_out_untimely(&mut self, check: impl Fn(Timestamp) -> Option<Untimely>) {
        let dead = &mut self.dead;
        self.rows.retain(|row| {
            let fault = check(row.occurred_at());
            if let Some(fault) = fault {
                let event = row.event();
                let letter = NewDeadLetter::of_event(&event, fault.reason(), fault.detail());
                dead.push(letter);
            }
            fault.is_none()
        });
        self.stored.too_old = self.count_dead(Untimely::Closed.reason());
        self.stored.in_future = self.count_dead(Untimely::Ahead.reason());
    }

    /// Takes out the events that `is_locked` holds for: their day cannot be written to now.
    pub(super) fn put_off(&mut self, is_locked: impl Fn(Timestamp) -> bool) {
        let put_off = &mut self.stored.put_off;
        self.rows.retain(|row| {
            let is_locked = is_locked(row.occurred_at());
            if is_locked {
                put_off.push(row.event());
            }
            !is_locked
        });
    }

    /// Takes out the events the table rejects.
    pub(super) fn take_out_rejected(&mut self, rejected: Vec<RejectedRow>) {
        let rejected: HashMap<Uuid, RejectedRow> = rejected
            .into_iter()
            .map(|rejected| (rejected.event_id, rejected))
            .collect();
        let dead = &mut self.dead;
        self.rows.retain(|row| {
            let rejected = rejected.get(&row.id().as_uuid());
            if let Some(RejectedRow { code, detail, .. }) = rejected {
                let detail = format!("{detail} (SQLSTATE {code})");
                let reason = DeadLetterReason::InvalidEvent;
                dead.push(NewDeadLetter::of_event(&row.event(), reason, detail));
            }
            rejected.is_none()
        });
        self.stored.invalid = self.count_dead(DeadLetterReason::InvalidEvent);
    }

    fn count_dead(&self, reason: DeadLetterReason) -> u64 {
        let of_reason = self.dead.iter().filter(|letter| letter.reason == reason);
        of_reason.count() as u64
    }

    /// How many of the events to insert are of `kind`.
    pub(super) fn count(&self, kind: EventKind) -> u64 {
        self.rows.iter().filter(|row| row.kind() == kind).count() as u64
    }
}
