//! Periodic entries: which task is due when.

#[cfg(test)]
mod tests;

use std::time::Duration;

use uuid::Uuid;

use crate::{
    AggregateDay, AggregateHour, MaintainPartitions, ReportingZone, SweepDirty, Task, TaskMessage,
    Timestamp, slot_task_id,
};

const MINUTE_MILLIS: i64 = 60_000;
const HOUR_MILLIS: i64 = 60 * MINUTE_MILLIS;

/// What a periodic entry repeats with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// The end of each hour of the reporting zone.
    HourEnd,
    /// The end of each local day of the reporting zone.
    DayEnd,
    /// Each full minute.
    Minute,
    /// Each full hour of UTC.
    UtcHour,
}

/// Which of the slots that were missed are made up for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CatchUp {
    /// All of them, oldest first.
    All,
    /// The latest only: it does the work of the earlier ones.
    Latest,
}

/// A periodic entry of beat's schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Its name in the ledger.
    pub name: &'static str,
    /// When its slots are.
    pub period: Period,
    /// Which missed slots are made up for.
    pub catch_up: CatchUp,
}

/// Everything beat schedules.
pub const ENTRIES: [Entry; 4] = [
    Entry {
        name: "aggregate-last-hour",
        period: Period::HourEnd,
        catch_up: CatchUp::All,
    },
    Entry {
        name: "aggregate-last-day",
        period: Period::DayEnd,
        catch_up: CatchUp::All,
    },
    Entry {
        name: "sweep-dirty",
        period: Period::Minute,
        catch_up: CatchUp::Latest,
    },
    Entry {
        name: "maintain-partitions",
        period: Period::UtcHour,
        catch_up: CatchUp::Latest,
    },
];

/// One nominal due time of an entry. The delay after a boundary is not part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// The entry it belongs to.
    pub entry: Entry,
    /// The boundary instant.
    pub at: Timestamp,
}

impl Entry {
    /// The entry named `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        ENTRIES.into_iter().find(|entry| entry.name == name)
    }

    /// The slots after `after` that are due at `now`, oldest first, at most `limit` of them.
    ///
    /// Slots at the end of an hour or day are due `delay` later, so that events still on their
    /// way are stored; the other entries are due at once.
    #[must_use]
    pub fn slots_due(
        self,
        zone: &ReportingZone,
        after: Timestamp,
        now: Timestamp,
        delay: Duration,
        limit: usize,
    ) -> Vec<Slot> {
        let until = now.saturating_add_millis(-self.delay_millis(delay));
        let slot = |at| Slot { entry: self, at };
        match self.catch_up {
            CatchUp::All => std::iter::successors(Some(after), |at| self.next_after(zone, *at))
                .skip(1)
                .take_while(|at| *at <= until)
                .take(limit)
                .map(slot)
                .collect(),
            CatchUp::Latest => {
                let latest = self.latest_at(zone, until);
                if latest > after {
                    vec![slot(latest)]
                } else {
                    Vec::new()
                }
            }
        }
    }

    /// When the slot `at` is due, `delay` after the end of an hour or day.
    #[must_use]
    pub fn due_at(self, at: Timestamp, delay: Duration) -> Timestamp {
        at.saturating_add_millis(self.delay_millis(delay))
    }

    fn delay_millis(self, delay: Duration) -> i64 {
        match self.period {
            Period::HourEnd | Period::DayEnd => {
                i64::try_from(delay.as_millis()).unwrap_or(i64::MAX)
            }
            Period::Minute | Period::UtcHour => 0,
        }
    }

    /// The first boundary strictly after `at`; `None` at the end of time.
    fn next_after(self, zone: &ReportingZone, at: Timestamp) -> Option<Timestamp> {
        let next = match self.period {
            Period::HourEnd => zone.hour_of(at).end,
            Period::DayEnd => zone.day_of(at).end,
            Period::Minute => floor(at, MINUTE_MILLIS).saturating_add_millis(MINUTE_MILLIS),
            Period::UtcHour => floor(at, HOUR_MILLIS).saturating_add_millis(HOUR_MILLIS),
        };
        (next > at).then_some(next)
    }

    /// The last boundary at or before `at`.
    fn latest_at(self, zone: &ReportingZone, at: Timestamp) -> Timestamp {
        match self.period {
            Period::HourEnd => zone.hour_of(at).start,
            Period::DayEnd => zone.day_of(at).start,
            Period::Minute => floor(at, MINUTE_MILLIS),
            Period::UtcHour => floor(at, HOUR_MILLIS),
        }
    }
}

impl Slot {
    /// The id of the slot's task: the same in every beat, so that the task has its effect once.
    #[must_use]
    pub fn task_id(&self) -> Uuid {
        slot_task_id(self.entry.name, self.at)
    }

    /// The task that is due at this slot.
    #[must_use]
    pub fn task(&self, zone: &ReportingZone) -> TaskMessage {
        let before = self.at.saturating_add_millis(-1);
        let id = self.task_id();
        match self.entry.period {
            Period::HourEnd => AggregateHour {
                hour: zone.hour_of(before).start.to_datetime(),
            }
            .message(id),
            Period::DayEnd => AggregateDay {
                day: zone.day_of(before).date,
            }
            .message(id),
            Period::Minute => SweepDirty {}.message(id),
            Period::UtcHour => MaintainPartitions {}.message(id),
        }
    }
}

fn floor(at: Timestamp, step: i64) -> Timestamp {
    at.saturating_add_millis(-at.as_millis().rem_euclid(step))
}
