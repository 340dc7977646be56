//! The reporting zone and the hours and days it divides time into.
//!
//! Boundaries of hours are all instants at which the local clock shows a full hour, and all
//! instants at which the zone's offset changes. So an hour of Asia/Tehran starts at minute 30 of
//! UTC, one of Australia/Lord_Howe may last 30 minutes, and a day has 23 to 25 hours.

#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, Offset, TimeDelta, TimeZone};
use chrono_tz::Tz;
use thiserror::Error;

use crate::Timestamp;

const HOUR_MILLIS: i64 = 3_600_000;
const DAY_MILLIS: i64 = 24 * HOUR_MILLIS;
const DAY_STEP: usize = 24 * 3_600_000;
/// 2100-01-01T00:00:00Z: chrono-tz knows no change of clocks after it.
const CHANGES_UNTIL: i64 = 4_102_444_800_000;

/// A name that is not in the IANA time zone database.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is not a time zone: use a name of the IANA database, such as UTC or Asia/Tehran")]
pub struct InvalidZone(pub String);

/// The one zone whose hours and days a deployment reports in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportingZone(Tz);

/// A half-open hour of a reporting zone, `[start, end)`, known by its first instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour {
    /// The first instant.
    pub start: Timestamp,
    /// The first instant of the next hour.
    pub end: Timestamp,
}

/// A half-open day of a reporting zone, `[start, end)`, known by its local date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day {
    /// The local date.
    pub date: NaiveDate,
    /// The first instant of that date.
    pub start: Timestamp,
    /// The first instant of the next day.
    pub end: Timestamp,
}

impl ReportingZone {
    /// Coordinated Universal Time.
    pub const UTC: Self = Self(Tz::UTC);

    /// The zone's name in the IANA database.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.0.name()
    }

    /// Whether both zones' clocks show the same at every instant from 1970 on, so that all hours and
    /// days are the same. Names tell less: the IANA database has several for many zones, and renames
    /// some.
    #[must_use]
    pub fn has_clock_of(&self, other: &Self) -> bool {
        // No zone has changed twice within six days.
        let alike = |from: i64| {
            self.offset_millis(from) == other.offset_millis(from)
                && self.first_change(from, from + DAY_MILLIS)
                    == other.first_change(from, from + DAY_MILLIS)
        };
        self == other || (0..CHANGES_UNTIL).step_by(DAY_STEP).all(alike)
    }

    /// `time` on the zone's clock, with the offset in force.
    #[must_use]
    pub fn local(&self, time: Timestamp) -> DateTime<FixedOffset> {
        time.to_datetime()
            .with_timezone(&self.offset_at(time.as_millis()))
    }

    /// The hour that holds `time`.
    #[must_use]
    pub fn hour_of(&self, time: Timestamp) -> Hour {
        let millis = time.as_millis();
        let into_hour = (millis + self.offset_millis(millis)).rem_euclid(HOUR_MILLIS);
        let (start, end) = (millis - into_hour, millis - into_hour + HOUR_MILLIS);
        let start = self.last_change(start, millis).unwrap_or(start);
        let end = self.first_change(millis, end - 1).unwrap_or(end);
        Hour {
            start: clamped(start),
            end: clamped(end),
        }
    }

    /// The hour whose first instant is `start`; `None` when no hour starts then.
    #[must_use]
    pub fn hour_starting(&self, start: Timestamp) -> Option<Hour> {
        Some(self.hour_of(start)).filter(|hour| hour.start == start)
    }

    /// The day that holds `time`.
    #[must_use]
    pub fn day_of(&self, time: Timestamp) -> Day {
        let date = self.local(time).date_naive();
        // Where clocks go back over midnight, the next day has begun although the local date is
        // the old one again: a day begins once.
        let next = date
            .succ_opt()
            .filter(|next| self.start_of(*next) <= time.as_millis());
        self.bounds(next.unwrap_or(date))
    }

    /// The day of the local date `date`; `None` when the zone skipped it or it lies outside
    /// 1970 to 9999.
    #[must_use]
    pub fn day(&self, date: NaiveDate) -> Option<Day> {
        let bounds = self.bounds(date);
        (bounds.start < bounds.end).then_some(bounds)
    }

    /// The hours that overlap `[from, to)`, in order.
    pub fn hours(&self, from: Timestamp, to: Timestamp) -> impl Iterator<Item = Hour> + use<> {
        let zone = *self;
        let first = (from < to).then(|| zone.hour_of(from));
        std::iter::successors(first, move |hour| {
            (hour.end < to).then(|| zone.hour_of(hour.end))
        })
    }

    /// The days that overlap `[from, to)`, in order.
    pub fn days(&self, from: Timestamp, to: Timestamp) -> impl Iterator<Item = Day> + use<> {
        let zone = *self;
        let first = (from < to).then(|| zone.day_of(from));
        std::iter::successors(first, move |day| {
            (day.end < to).then(|| zone.day_of(day.end))
        })
    }

    fn bounds(&self, date: NaiveDate) -> Day {
        let next = date
            .succ_opt()
            .map_or(Timestamp::MAX.as_millis(), |next| self.start_of(next));
        Day {
            date,
            start: clamped(self.start_of(date)),
            end: clamped(next),
        }
    }

    /// The first instant, in Unix milliseconds, whose local date is `date` or, where the zone
    /// skipped that date, a later one.
    fn start_of(&self, date: NaiveDate) -> i64 {
        let midnight = date.and_time(chrono::NaiveTime::MIN);
        match self.0.from_local_datetime(&midnight).earliest() {
            Some(start) => start.timestamp_millis(),
            None => self.first_instant_past(midnight),
        }
    }

    /// The end of the gap in local time that swallowed `midnight`.
    fn first_instant_past(&self, midnight: NaiveDateTime) -> i64 {
        let guess = midnight.and_utc().timestamp_millis();
        let is_past = |millis: i64| millis + self.offset_millis(millis) >= guess;
        // Offsets lie within a day of UTC, so the gap does too.
        bisect(guess - 2 * DAY_MILLIS, guess + 2 * DAY_MILLIS, is_past)
    }

    /// The last instant in `(from, to]` at which the offset changed.
    ///
    /// No zone has changed twice within an hour, the longest span this is asked for.
    fn last_change(&self, from: i64, to: i64) -> Option<i64> {
        let offset = self.offset_millis(to);
        (self.offset_millis(from) != offset)
            .then(|| bisect(from, to, |millis| self.offset_millis(millis) == offset))
    }

    /// The first instant in `(from, to]` at which the offset changes.
    fn first_change(&self, from: i64, to: i64) -> Option<i64> {
        let offset = self.offset_millis(from);
        (self.offset_millis(to) != offset)
            .then(|| bisect(from, to, |millis| self.offset_millis(millis) != offset))
    }

    fn offset_millis(&self, millis: i64) -> i64 {
        i64::from(self.offset_at(millis).local_minus_utc()) * 1_000
    }

    fn offset_at(&self, millis: i64) -> FixedOffset {
        let utc = DateTime::UNIX_EPOCH.naive_utc() + TimeDelta::milliseconds(millis);
        self.0.offset_from_utc_datetime(&utc).fix()
    }
}

impl FromStr for ReportingZone {
    type Err = InvalidZone;

    fn from_str(name: &str) -> Result<Self, InvalidZone> {
        name.parse()
            .map(Self)
            .map_err(|_| InvalidZone(name.chars().take(60).collect()))
    }
}

impl fmt::Display for ReportingZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The first of the instants in `(low, high]` from which on `holds` is true; it is false at `low`
/// and true at `high`.
fn bisect(mut low: i64, mut high: i64, holds: impl Fn(i64) -> bool) -> i64 {
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if holds(middle) {
            high = middle
        } else {
            low = middle
        }
    }
    high
}

fn clamped(millis: i64) -> Timestamp {
    Timestamp::EPOCH.saturating_add_millis(millis)
}
