//! Totals of ads in hours and days, by measure.
//!
//! What is counted is a row of the table in `measure`. All SQL that names the columns of measures is made of
//! it, here: reading totals and counting raw events in `read`, writing totals and restatements in `write`.

mod measure;
mod read;
mod write;

use std::collections::BTreeMap;

use adtally_domain::Timestamp;
use chrono::NaiveDate;

pub use measure::{Counts, Measure};
pub(crate) use read::{
    Page, Total, days_of_ad, days_page, hourly_after, hourly_sum, hours_between, hours_of_ad,
    hours_page, of, raw, raw_of_ad,
};
pub(crate) use write::{add, delete, insert_restatements, replace};

/// Counts by ad. Ads without events are not in it.
pub(crate) type Totals = BTreeMap<i64, Counts>;

/// What totals are kept for: an hour, by its first instant, or a day.
#[derive(Debug, Clone, Copy)]
pub(crate) enum BucketKey {
    Hour(Timestamp),
    Day(NaiveDate),
}

/// A total that is not what it was.
pub(crate) struct Change {
    pub(crate) ad_id: i64,
    pub(crate) old: Counts,
    /// None when the ad has no events in the bucket any more.
    pub(crate) new: Option<Counts>,
}

/// What turns `old` into `new`, in the order of ads.
pub(crate) fn changes(old: &Totals, new: &Totals) -> Vec<Change> {
    let ads = old
        .keys()
        .chain(new.keys().filter(|ad_id| !old.contains_key(ad_id)));
    let changes = ads.map(|ad_id| Change {
        ad_id: *ad_id,
        old: old.get(ad_id).copied().unwrap_or_default(),
        new: new.get(ad_id).copied(),
    });
    let mut changes: Vec<Change> = changes
        .filter(|change| old.get(&change.ad_id) != new.get(&change.ad_id))
        .collect();
    changes.sort_by_key(|change| change.ad_id);
    changes
}

/// Adds `more` to `totals`.
pub(crate) fn sum(totals: &mut Totals, more: Totals) {
    for (ad_id, counts) in more {
        *totals.entry(ad_id).or_default() += counts;
    }
}

/// How many events of `old` are not in `new`, whatever else is. Raw events are never taken away, so
/// these are lost.
pub(crate) fn missing(old: &Totals, new: &Totals) -> u64 {
    let of_ad = |(ad_id, old): (&i64, &Counts)| {
        let new = new.get(ad_id).copied().unwrap_or_default();
        old.missing_in(new)
    };
    old.iter().map(of_ad).sum()
}
