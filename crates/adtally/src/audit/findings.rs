//! What an audit found, in the form it is printed in.

use std::collections::BTreeMap;

use adtally_domain::{ReportingZone, Timestamp};
use adtally_service::BrokerArgs;
use adtally_store::{AuditReport, Granularity, Measure, Mismatch};
use chrono::{NaiveDate, SecondsFormat};
use serde::Serialize;

use super::spool::Spooled;
use crate::queues::Queues;

/// Everything an audit tells.
#[derive(Debug, Serialize)]
pub(crate) struct Findings {
    /// Whether no total differs without a mark, and no raw events are gone that should be there.
    pub(super) ok: bool,
    pub(super) timezone: &'static str,
    /// The database's clock at the snapshot.
    pub(super) at: String,
    pub(super) hours_checked: u64,
    pub(super) days_checked: u64,
    pub(super) mismatches: Vec<Difference>,
    /// The command that builds the differing totals anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) repair: Option<String>,
    /// Partitions that are gone although their days have totals.
    pub(super) missing_partitions: Vec<String>,
    /// Hours whose totals stand because their raw events are gone.
    pub(super) closed_hours: Vec<Closed>,
    /// First instants of the hours that wait for a roll-up.
    pub(super) pending_hours: Vec<String>,
    /// Dates of the days that wait for a roll-up.
    pub(super) pending_days: Vec<String>,
    /// Buckets before this instant are skipped: their raw events were dropped.
    pub(super) skipped_before: Option<String>,
    pub(super) dead_letters: Vec<DeadLetters>,
    /// Messages by queue; null when the broker was not asked or did not answer.
    pub(super) queued: Option<BTreeMap<String, u64>>,
    /// Why `queued` is null although a broker was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) queued_unknown: Option<String>,
    /// What the API keeps on disk; null when it was not asked or did not answer.
    pub(super) spooled: Option<BTreeMap<String, f64>>,
    /// Why `spooled` is null although an API was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) spooled_unknown: Option<String>,
}

/// A total that is not what its source adds up to.
#[derive(Debug, Serialize)]
pub(super) struct Difference {
    pub(super) granularity: &'static str,
    pub(super) start: String,
    pub(super) ad_id: Option<i64>,
    pub(super) expected_impressions: i64,
    pub(super) found_impressions: i64,
    pub(super) expected_clicks: i64,
    pub(super) found_clicks: i64,
}

/// An hour whose totals stand.
#[derive(Debug, Serialize)]
pub(super) struct Closed {
    pub(super) start: String,
    /// `partition_missing` or `events_missing`.
    pub(super) reason: &'static str,
}

/// How many dead letters there are of one reason and state.
#[derive(Debug, Serialize)]
pub(super) struct DeadLetters {
    pub(super) reason: String,
    pub(super) state: &'static str,
    pub(super) count: u64,
}

/// What waits in the broker.
#[derive(Debug)]
pub(super) enum Queued {
    /// No broker was named.
    NotAsked,
    /// It could not be asked, for this reason.
    Unknown(String),
    /// Messages by queue.
    Known(BTreeMap<String, u64>),
}

impl Queued {
    /// Looks at the queues of the broker that `args` name.
    pub(super) async fn look(args: &BrokerArgs) -> Self {
        if !args.is_given() {
            return Self::NotAsked;
        }
        let mut queues = match Queues::connect(args).await {
            Ok(queues) => queues,
            Err(failure) => return Self::Unknown(failure.message),
        };
        let depths = queues.depths().await;
        queues.close().await;
        match depths {
            Ok(depths) => Self::Known(
                depths
                    .into_iter()
                    .map(|depth| (depth.queue, depth.messages))
                    .collect(),
            ),
            Err(error) => Self::Unknown(error.to_string()),
        }
    }
}

impl Findings {
    /// The findings of `report` in `zone`, with nothing about the broker and the API.
    pub(crate) fn of_database(zone: ReportingZone, report: &AuditReport) -> Self {
        let local = |time| local(zone, time);
        let difference = |mismatch: &Mismatch| Difference::new(zone, mismatch);
        let hours = report.pending_hours.iter();
        let days = report.pending_days.iter();
        Self {
            ok: report.is_clean(),
            timezone: zone.name(),
            at: local(report.at),
            hours_checked: report.hours_checked,
            days_checked: report.days_checked,
            mismatches: report.mismatches.iter().map(difference).collect(),
            repair: repair(zone, &report.mismatches),
            missing_partitions: report.missing_partitions.iter().map(partition).collect(),
            closed_hours: report
                .closed_hours
                .iter()
                .map(|hour| Closed {
                    start: local(hour.start),
                    reason: hour.reason.as_str(),
                })
                .collect(),
            pending_hours: hours.map(|hour| local(hour.start)).collect(),
            pending_days: days.map(|day| day.date.to_string()).collect(),
            skipped_before: report.raw_from.map(local),
            dead_letters: dead_letters(report),
            queued: None,
            queued_unknown: None,
            spooled: None,
            spooled_unknown: None,
        }
    }

    /// Adds what waits in the broker.
    pub(super) fn with_queued(mut self, queued: Queued) -> Self {
        match queued {
            Queued::NotAsked => {}
            Queued::Unknown(reason) => self.queued_unknown = Some(reason),
            Queued::Known(depths) => self.queued = Some(depths),
        }
        self
    }

    /// Adds what an API keeps on disk.
    pub(super) fn with_spooled(mut self, spooled: Spooled) -> Self {
        match spooled {
            Spooled::NotAsked => {}
            Spooled::Unknown(reason) => self.spooled_unknown = Some(reason),
            Spooled::Known(metrics) => self.spooled = Some(metrics),
        }
        self
    }

    /// How many totals differ without a mark.
    pub(crate) fn mismatches(&self) -> u64 {
        self.mismatches.len() as u64
    }
}

/// The command that builds the totals of all `mismatches` anew.
fn repair(zone: ReportingZone, mismatches: &[Mismatch]) -> Option<String> {
    let end = |mismatch: &Mismatch| match mismatch.granularity {
        Granularity::Hour => zone.hour_of(mismatch.start).end,
        Granularity::Day => zone.day_of(mismatch.start).end,
    };
    let start = |mismatch: &Mismatch| match mismatch.granularity {
        Granularity::Hour => zone.hour_of(mismatch.start).start,
        Granularity::Day => zone.day_of(mismatch.start).start,
    };
    let from = mismatches.iter().map(start).min()?;
    let to = mismatches.iter().map(end).max()?;
    let (from, to) = (local(zone, from), local(zone, to));
    Some(format!("adtally rebuild --from {from} --to {to}"))
}

impl Difference {
    fn new(zone: ReportingZone, mismatch: &Mismatch) -> Self {
        let start = match mismatch.granularity {
            Granularity::Hour => local(zone, mismatch.start),
            Granularity::Day => zone.day_of(mismatch.start).date.to_string(),
        };
        Self {
            granularity: mismatch.granularity.as_str(),
            start,
            ad_id: mismatch.ad_id.map(|ad| ad.get()),
            expected_impressions: mismatch.expected[Measure::Impressions],
            found_impressions: mismatch.found[Measure::Impressions],
            expected_clicks: mismatch.expected[Measure::Clicks],
            found_clicks: mismatch.found[Measure::Clicks],
        }
    }
}

fn dead_letters(report: &AuditReport) -> Vec<DeadLetters> {
    let letters = report.dead_letters.iter().map(|letters| DeadLetters {
        reason: letters.reason.clone(),
        state: letters.state.as_str(),
        count: letters.count,
    });
    letters.collect()
}

fn partition(day: &NaiveDate) -> String {
    format!("events_{}", day.format("%Y%m%d"))
}

fn local(zone: ReportingZone, time: Timestamp) -> String {
    zone.local(time)
        .to_rfc3339_opts(SecondsFormat::AutoSi, true)
}
