//! What the routes for totals answer.

use adtally_domain::{AdId, ReportingZone, Timestamp};
use adtally_store::{Granularity, Measure, StatsCursor, StatsPage, StatsRow};
use chrono::SecondsFormat;
use serde::Serialize;
use utoipa::ToSchema;

/// One ad's totals.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AdStats {
    /// The ad.
    ad_id: i64,
    /// The reporting zone, by its name in the IANA database.
    #[schema(value_type = String, example = "Asia/Tehran")]
    timezone: &'static str,
    /// `hour` or `day`.
    #[schema(value_type = String)]
    granularity: &'static str,
    /// The buckets, in order.
    data: Vec<Bucket>,
}

/// All ads' totals.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AllStats {
    /// The reporting zone, by its name in the IANA database.
    #[schema(value_type = String, example = "Asia/Tehran")]
    timezone: &'static str,
    /// `hour` or `day`.
    #[schema(value_type = String)]
    granularity: &'static str,
    /// The rows, ordered by start and ad.
    data: Vec<Row>,
    /// Ask again with this as `cursor` for more; null at the end.
    next_cursor: Option<String>,
}

/// One ad's totals in one bucket.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Row {
    /// The ad.
    ad_id: i64,
    /// The rest.
    #[serde(flatten)]
    bucket: Bucket,
}

/// Totals in one hour or day.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Bucket {
    /// The first instant, with the zone's offset.
    #[schema(format = DateTime, example = "2026-11-22T09:00:00+03:30")]
    start: String,
    /// The first instant of the next bucket, with the zone's offset.
    #[schema(format = DateTime, example = "2026-11-22T10:00:00+03:30")]
    end: String,
    /// Impressions.
    impressions: u64,
    /// Clicks.
    clicks: u64,
    /// Clicks per impression; null when there are no impressions.
    ctr: Option<f64>,
    /// How far the numbers may still change: `open` (not over, or not rolled up yet; the numbers are
    /// live), `provisional` or `final`.
    #[schema(value_type = String, pattern = "^(open|provisional|final)$")]
    status: &'static str,
}

impl AdStats {
    /// The answer with `rows`.
    pub(super) fn new(
        ad: AdId,
        zone: ReportingZone,
        granularity: Granularity,
        rows: &[StatsRow],
    ) -> Self {
        Self {
            ad_id: ad.get(),
            timezone: zone.name(),
            granularity: granularity.as_str(),
            data: rows.iter().map(|row| Bucket::new(zone, row)).collect(),
        }
    }
}

impl AllStats {
    /// The answer with `page`.
    pub(super) fn new(zone: ReportingZone, granularity: Granularity, page: &StatsPage) -> Self {
        let row = |row: &StatsRow| Row {
            ad_id: row.ad_id.get(),
            bucket: Bucket::new(zone, row),
        };
        Self {
            timezone: zone.name(),
            granularity: granularity.as_str(),
            data: page.rows.iter().map(row).collect(),
            next_cursor: page.next.map(cursor),
        }
    }
}

impl Bucket {
    fn new(zone: ReportingZone, row: &StatsRow) -> Self {
        let impressions = row.counts.get(Measure::Impressions);
        let clicks = row.counts.get(Measure::Clicks);
        Self {
            start: local(zone, row.start),
            end: local(zone, row.end),
            impressions,
            clicks,
            ctr: ctr(impressions, clicks),
            status: row.status.as_str(),
        }
    }
}

/// A cursor as clients see it, who need not read it.
pub(super) fn cursor(place: StatsCursor) -> String {
    format!("{}.{}", place.start.as_millis(), place.ad_id)
}

fn local(zone: ReportingZone, time: Timestamp) -> String {
    zone.local(time)
        .to_rfc3339_opts(SecondsFormat::AutoSi, false)
}

fn ctr(impressions: u64, clicks: u64) -> Option<f64> {
    // Exact up to 2^53, far beyond what one ad has in a day.
    (impressions > 0).then(|| clicks as f64 / impressions as f64)
}
