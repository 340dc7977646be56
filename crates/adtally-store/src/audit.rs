//! The audit: every total that is over, recomputed and compared in one snapshot.

mod check;
mod walk;

use adtally_domain::{AdId, Day, Hour, ReportingZone, Timestamp};
use chrono::NaiveDate;
use diesel::connection::SimpleConnection;

use crate::rollup::STATEMENT_LIMIT;
use crate::{ClosedHour, Counts, DeadLetterCount, Granularity, Store, StoreError, partitions};

/// A total that is not what its source adds up to, in a bucket no roll-up is waiting for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// Hours are compared with raw events, days with their hours.
    pub granularity: Granularity,
    /// The bucket's first instant.
    pub start: Timestamp,
    /// The ad; `None` for a row whose ad is no valid id.
    pub ad_id: Option<AdId>,
    /// What the source adds up to.
    pub expected: Counts,
    /// What the table has.
    pub found: Counts,
}

/// What an audit found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditReport {
    /// The database's clock at the snapshot: only buckets that were over then are compared.
    pub at: Timestamp,
    /// Buckets before this instant were skipped, as their raw events were dropped.
    pub raw_from: Option<Timestamp>,
    /// Hours that were compared: those with events or totals.
    pub hours_checked: u64,
    /// Days that were compared: those with totals of their own or of their hours.
    pub days_checked: u64,
    /// Hours that are over and wait for a roll-up.
    pub pending_hours: Vec<Hour>,
    /// Days that are over and wait for a roll-up, their own or that of one of their hours.
    pub pending_days: Vec<Day>,
    /// Totals that are wrong. Empty in a healthy database. A marked hour is among them only when
    /// raw events of its totals are gone, which no roll-up mends.
    pub mismatches: Vec<Mismatch>,
    /// UTC days that have totals and whose partition is gone, though [`Store::raw_from`] is before
    /// them. Empty in a healthy database.
    pub missing_partitions: Vec<NaiveDate>,
    /// Hours whose totals stand because their raw events are gone. Empty in a healthy database.
    pub closed_hours: Vec<ClosedHour>,
    /// Dead letters by reason and state.
    pub dead_letters: Vec<DeadLetterCount>,
}

impl AuditReport {
    /// Whether everything is as it should be.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.mismatches.is_empty()
            && self.missing_partitions.is_empty()
            && self.closed_hours.is_empty()
    }
}

impl Store {
    /// Compares every hour that is over with its raw events, and every day that is over with its
    /// hours, in one snapshot. It may take long: no call time-out bounds it, and each of its
    /// statements may take as long as that of a roll-up.
    ///
    /// # Errors
    /// The transient ones.
    pub async fn audit(&self, zone: ReportingZone) -> Result<AuditReport, StoreError> {
        self.audit_between(zone, Timestamp::EPOCH, Timestamp::MAX)
            .await
    }

    /// The same for the hours and days that overlap `[from, to)`.
    ///
    /// # Errors
    /// The transient ones.
    pub async fn audit_between(
        &self,
        zone: ReportingZone,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<AuditReport, StoreError> {
        self.run_unbounded(move |conn| {
            conn.build_transaction()
                .repeatable_read()
                .read_only()
                .run(|conn| {
                    conn.batch_execute(STATEMENT_LIMIT)?;
                    partitions::hold(conn)?;
                    Ok(check::all(conn, zone, from, to)?)
                })
        })
        .await
    }
}
