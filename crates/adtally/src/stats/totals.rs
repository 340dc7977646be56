//! Totals as they are shown, wherever they come from.

use adtally_domain::{ReportingZone, Timestamp};
use adtally_store::{Granularity, Measure, StatsRow};
use chrono::{DateTime, FixedOffset};
use serde::{Deserialize, Serialize};

/// Totals of some hours or days.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Totals {
    /// The reporting zone.
    pub(super) timezone: String,
    /// `hour` or `day`.
    pub(super) granularity: &'static str,
    /// In the order of start and ad.
    pub(super) data: Vec<TotalsRow>,
    /// Whether there are more rows than were asked for.
    pub(super) more: bool,
}

/// Totals of one bucket, of one ad or of all ads with events in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct TotalsRow {
    /// The ad, unless the row is about several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ad_id: Option<i64>,
    /// How many ads the row is about, unless it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ads: Option<u64>,
    /// The first instant, with the zone's offset.
    pub(super) start: DateTime<FixedOffset>,
    /// The first instant of the next bucket.
    pub(super) end: DateTime<FixedOffset>,
    /// Impressions.
    pub(super) impressions: u64,
    /// Clicks.
    pub(super) clicks: u64,
    /// Clicks per impression; `None` without impressions.
    pub(super) ctr: Option<f64>,
    /// `open`, `provisional` or `final`.
    pub(super) status: String,
}

impl TotalsRow {
    /// One ad's row as the store has it.
    pub(super) fn stored(zone: ReportingZone, row: &StatsRow) -> Self {
        let local = |time: Timestamp| zone.local(time);
        let impressions = row.counts.get(Measure::Impressions);
        let clicks = row.counts.get(Measure::Clicks);
        Self {
            ad_id: Some(row.ad_id.get()),
            ads: None,
            start: local(row.start),
            end: local(row.end),
            impressions,
            clicks,
            ctr: ctr(impressions, clicks),
            status: row.status.as_str().to_owned(),
        }
    }
}

/// Clicks per impression.
pub(super) fn ctr(impressions: u64, clicks: u64) -> Option<f64> {
    (impressions > 0).then(|| clicks as f64 / impressions as f64)
}

/// Takes rows in the order of start and ad, and keeps them or adds up those of the same bucket.
#[derive(Debug)]
pub(super) struct Collector {
    /// The most rows to keep one by one; `None` adds them up instead.
    limit: Option<usize>,
    rows: Vec<TotalsRow>,
    more: bool,
}

impl Collector {
    /// Keeps up to `limit` rows of single ads.
    pub(super) fn of_ads(limit: usize) -> Self {
        Self {
            limit: Some(limit),
            rows: Vec::new(),
            more: false,
        }
    }

    /// Adds up all ads.
    pub(super) fn of_all() -> Self {
        Self {
            limit: None,
            rows: Vec::new(),
            more: false,
        }
    }

    /// Takes the next row; whether another one is wanted.
    pub(super) fn take(&mut self, row: TotalsRow) -> bool {
        match self.limit {
            Some(limit) if self.rows.len() >= limit => {
                self.more = true;
                false
            }
            Some(_) => {
                self.rows.push(row);
                true
            }
            None => {
                self.add(row);
                true
            }
        }
    }

    fn add(&mut self, row: TotalsRow) {
        match self.rows.last_mut() {
            Some(last) if last.start == row.start => {
                last.ads = last.ads.map(|ads| ads + 1);
                last.impressions += row.impressions;
                last.clicks += row.clicks;
                last.ctr = ctr(last.impressions, last.clicks);
            }
            _ => self.rows.push(TotalsRow {
                ad_id: None,
                ads: Some(1),
                ..row
            }),
        }
    }

    /// Everything that was taken.
    pub(super) fn finish(self, timezone: String, granularity: Granularity) -> Totals {
        Totals {
            timezone,
            granularity: granularity.as_str(),
            data: self.rows,
            more: self.more,
        }
    }
}
