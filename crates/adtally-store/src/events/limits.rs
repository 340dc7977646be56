//! Which times an event may have to be stored.
//!
//! The API checks what senders send, with its clock. These limits are the database's own: they hold for
//! whatever is on a queue, and for an API whose clock is wrong.

use std::collections::BTreeSet;

use adtally_domain::{DeadLetterReason, ReportingZone, Timestamp};
use chrono::NaiveDate;
use diesel::pg::PgConnection;
use diesel::result::QueryResult;

use crate::partitions::utc_day;
use crate::{settings, times};

/// How far ahead of PostgreSQL's clock an event may be: clocks differ, and no hour that long ahead can
/// be rolled up soon.
const AHEAD_MILLIS: i64 = 2 * 86_400_000;

/// What is wrong with an event's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Untimely {
    /// The raw events of its hour are closed.
    Closed,
    /// It is too far ahead.
    Ahead,
}

impl Untimely {
    /// The reason of its dead letter.
    pub(super) const fn reason(self) -> DeadLetterReason {
        match self {
            Self::Closed => DeadLetterReason::TooOld,
            Self::Ahead => DeadLetterReason::InFuture,
        }
    }

    pub(super) const fn detail(self) -> &'static str {
        match self {
            Self::Closed => "the raw events of its hour are gone, so it cannot be counted",
            Self::Ahead => "it is more than 2 days ahead of the database's clock",
        }
    }
}

/// The limits as one transaction saw them.
#[derive(Debug)]
pub(super) struct Limits {
    /// PostgreSQL's clock.
    pub(super) now: Timestamp,
    /// From when on raw events are kept.
    pub(super) raw_from: Option<Timestamp>,
    /// The hours of the batch that are closed.
    pub(super) closed: BTreeSet<Timestamp>,
}

impl Limits {
    /// The limits that are the same for all batches.
    pub(super) fn load(conn: &mut PgConnection) -> QueryResult<Self> {
        Ok(Self {
            now: times::timestamp(times::now(conn)?),
            raw_from: settings::raw_from(conn)?,
            closed: BTreeSet::new(),
        })
    }

    /// Whether a batch from `first` to `last` is all within the limits.
    pub(super) fn contain(&self, first: Timestamp, last: Timestamp) -> bool {
        let is_kept = self.raw_from.is_none_or(|raw_from| raw_from <= first);
        is_kept && !self.is_ahead(last) && self.closed.is_empty()
    }

    /// What is wrong with `time`, if anything is.
    pub(super) fn check(&self, zone: ReportingZone, time: Timestamp) -> Option<Untimely> {
        if self.is_ahead(time) {
            return Some(Untimely::Ahead);
        }
        let is_dropped = self.raw_from.is_some_and(|raw_from| time < raw_from);
        let is_closed = is_dropped || self.closed.contains(&zone.hour_of(time).start);
        is_closed.then_some(Untimely::Closed)
    }

    /// What is wrong with `time` if its day is one of those `without` a partition.
    pub(super) fn check_without(
        &self,
        without: &BTreeSet<NaiveDate>,
        time: Timestamp,
    ) -> Option<Untimely> {
        if self.is_ahead(time) {
            return Some(Untimely::Ahead);
        }
        without.contains(&utc_day(time)).then_some(Untimely::Closed)
    }

    fn is_ahead(&self, time: Timestamp) -> bool {
        self.now.saturating_add_millis(AHEAD_MILLIS) < time
    }
}
