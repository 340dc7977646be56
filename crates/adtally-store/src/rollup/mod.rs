//! Roll-ups: one hour rebuilt from its raw events, one day from its hours.
//!
//! A roll-up runs REPEATABLE READ and first takes away the marks it sees. Whatever is written after
//! its snapshot leaves a mark it does not see, so the bucket is rebuilt once more. Two roll-ups of
//! one bucket meet in a row they both write, and the later one starts again.
//!
//! Events and totals are only ever added to. A bucket that is over and would come out with less than
//! it has was made of something that is gone: it is left as it is.

mod day;
mod hour;
mod open;
mod write;

use std::time::Duration;

use adtally_domain::{Day, Hour, ReportingZone, Timestamp};
use diesel::connection::SimpleConnection;
use diesel::pg::PgConnection;

pub(crate) use write::is_rolled_up;

use crate::{Store, StoreError, TaskRun, marks, times};

/// How long one statement of a roll-up or an audit may run: the count of an hour is as long as the
/// hour is busy. Somewhat less than a roll-up's own limit, so that one slow statement fails as such;
/// one that begins late may run on for a while after its task was given up, which harms nothing.
pub(crate) const STATEMENT_LIMIT: &str = "SET LOCAL statement_timeout = '14min'";

/// Runs of one roll-up that met another one before it is handed back.
const RUNS: u32 = 8;

/// What a roll-up came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RollUp {
    /// The task had been done before, so nothing was touched.
    pub already_done: bool,
    /// The bucket lies before [`Store::raw_from`], so its totals were left as they are.
    pub closed: bool,
    /// Events that its totals have and that were not found again. When there are any, the totals were
    /// left as they are, and an hour is closed from now on.
    pub missing: u64,
    /// Rows that are new or changed.
    pub written: u64,
    /// Rows whose ad has no events in the bucket any more.
    pub deleted: u64,
    /// Rows that had been computed after the bucket was over and changed all the same.
    pub restated: u64,
}

impl RollUp {
    /// Rows of totals that were inserted, changed or deleted.
    #[must_use]
    pub const fn changed(&self) -> u64 {
        self.written + self.deleted
    }
}

impl Store {
    /// Rebuilds the totals of `hour` from its raw events, marks its day when they changed, and notes
    /// in the same transaction that `task` succeeded.
    ///
    /// # Errors
    /// [`StoreError::ZoneMismatch`] when the database's zone was changed, and the transient ones.
    pub async fn roll_up_hour(
        &self,
        task: TaskRun,
        zone: ReportingZone,
        hour: Hour,
    ) -> Result<RollUp, StoreError> {
        let once = move |conn: &mut PgConnection| hour::roll_up(conn, &task, zone, hour);
        self.run_unbounded(move |conn| restarting(conn, once)).await
    }

    /// Takes what the marks of hours that are not over say into the totals of these hours, so that who reads
    /// them adds up only what came since. Their events are not looked at: an hour costs what came since the
    /// last time, not what came since its start. Returns how many marks there were.
    ///
    /// # Errors
    /// The transient ones.
    pub async fn count_open_hours(&self, zone: ReportingZone) -> Result<u64, StoreError> {
        self.run_unbounded(move |conn| {
            let now = times::timestamp(times::now(conn)?);
            let running = zone.hour_of(now).start;
            let mut marks = 0;
            for start in marks::hours_between(conn, running, Timestamp::MAX)? {
                let hour = zone.hour_of(start);
                marks += restarting(conn, |conn| open::count(conn, zone, hour))?;
            }
            Ok(marks)
        })
        .await
    }

    /// Rebuilds the totals of `day` from its hourly totals, and notes in the same transaction that
    /// `task` succeeded.
    ///
    /// Where the hours have less than the day, see [`RollUp::missing`], rebuild the hours first.
    ///
    /// # Errors
    /// [`StoreError::ZoneMismatch`] when the database's zone was changed, and the transient ones.
    pub async fn roll_up_day(
        &self,
        task: TaskRun,
        zone: ReportingZone,
        day: Day,
    ) -> Result<RollUp, StoreError> {
        let once = move |conn: &mut PgConnection| day::roll_up(conn, &task, zone, day);
        self.run_unbounded(move |conn| restarting(conn, once)).await
    }
}

/// Runs `once` in a REPEATABLE READ transaction of its own, again when it met another.
fn restarting<T>(
    conn: &mut PgConnection,
    once: impl Fn(&mut PgConnection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let mut run = 1;
    loop {
        let transaction = |conn: &mut PgConnection| {
            conn.batch_execute(STATEMENT_LIMIT)?;
            once(conn)
        };
        match conn.build_transaction().repeatable_read().run(transaction) {
            Err(StoreError::Contended(_)) if run < RUNS => {
                std::thread::sleep(Duration::from_millis(5) * run);
                run += 1;
            }
            outcome => return outcome,
        }
    }
}
