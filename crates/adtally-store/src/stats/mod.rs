//! Totals for readers, with a live count for whatever changed since its last roll-up.
//!
//! The rules for every number:
//!
//! 1. A bucket without marks is what its table says.
//! 2. An hour with marks is what its table says and what the marks add. Where one of them does not say it, the
//!    hour is counted anew from its raw events.
//! 3. A day with marks is the sum of its hours.
//!
//! All queries of one answer read one snapshot, so nothing is counted twice or missed where the two meet.

mod bucket;
mod live;
mod one;
mod page;
mod view;

use std::time::Duration;

use adtally_domain::{AdId, ReportingZone, Timestamp};

use crate::{Counts, Store, StoreError};

/// The length of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Granularity {
    /// An hour of the reporting zone.
    Hour,
    /// A local day of the reporting zone.
    Day,
}

impl Granularity {
    /// The name on every wire: `hour` or `day`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }
}

/// What is asked for: the buckets that overlap `[from, to)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatsSpan {
    /// Hours or days.
    pub granularity: Granularity,
    /// The first instant of interest.
    pub from: Timestamp,
    /// The first instant not of interest.
    pub to: Timestamp,
    /// How long after its end a bucket is called provisional before it is called final.
    pub final_after: Duration,
}

/// How far a bucket's numbers may still change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BucketStatus {
    /// It is not over, or has events no roll-up has taken in yet. Its numbers are live.
    Open,
    /// It is over and rolled up; late events are still to be expected.
    Provisional,
    /// It is over for long; a late event would still restate it.
    Final,
}

impl BucketStatus {
    /// The name on every wire: `open`, `provisional` or `final`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Provisional => "provisional",
            Self::Final => "final",
        }
    }
}

/// One ad's totals in one bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatsRow {
    /// The ad.
    pub ad_id: AdId,
    /// The bucket's first instant.
    pub start: Timestamp,
    /// The first instant of the next bucket.
    pub end: Timestamp,
    /// What was counted in the bucket.
    pub counts: Counts,
    /// How far they may still change.
    pub status: BucketStatus,
}

/// A place in the list of all ads' rows: behind the row of this bucket and ad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct StatsCursor {
    /// The bucket's first instant.
    pub start: Timestamp,
    /// The ad.
    pub ad_id: AdId,
}

/// Some rows of all ads, and where the next ones begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatsPage {
    /// Rows in the order of bucket and ad.
    pub rows: Vec<StatsRow>,
    /// Behind the last row, when there are more.
    pub next: Option<StatsCursor>,
}

impl Store {
    /// One ad's totals in every bucket of `span`, in order; zeros where nothing happened. The caller
    /// bounds the number of buckets.
    ///
    /// # Errors
    /// The transient ones.
    pub async fn ad_stats(
        &self,
        zone: ReportingZone,
        ad_id: AdId,
        span: StatsSpan,
    ) -> Result<Vec<StatsRow>, StoreError> {
        self.run_slow(move |conn, deadline| {
            view::snapshot(conn, deadline, |conn| {
                one::rows(conn, deadline, zone, ad_id, span)
            })
        })
        .await
    }

    /// At most `limit` rows of all ads behind `after`, in the order of bucket and ad. Only ads with
    /// events in a bucket have a row for it.
    ///
    /// # Errors
    /// The transient ones.
    pub async fn all_stats(
        &self,
        zone: ReportingZone,
        span: StatsSpan,
        after: Option<StatsCursor>,
        limit: u32,
    ) -> Result<StatsPage, StoreError> {
        self.run_slow(move |conn, deadline| {
            view::snapshot(conn, deadline, |conn| {
                page::page(conn, deadline, zone, span, after, limit)
            })
        })
        .await
    }
}
