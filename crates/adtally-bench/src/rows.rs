//! Rows of `events` made by SQL, for bars that need millions stored and not how they came there.

use adtally_domain::{ReportingZone, Timestamp};
use anyhow::ensure;

use crate::lab::Ground;
use crate::traffic::USER_AGENTS;

/// Rows that one statement makes. After each of them everything is written to disk: so the log of a
/// large table never grows beyond the disk.
const SLICE: u64 = 5_000_000;

/// Which ad a row is for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ads {
    /// The ad of rank k in proportion to 1/k.
    Skewed(u32),
    /// Any ad with equal chances.
    Uniform(u32),
    /// Each ad in turn.
    InTurn(u32),
}

impl Ads {
    /// SQL for the ad of the row `number`.
    fn sql(self) -> String {
        match self {
            Self::Skewed(ads) => {
                format!("least({ads}, floor(exp(random() * ln({ads}::float8 + 1))))::bigint")
            }
            Self::Uniform(ads) => format!("1 + floor(random() * {ads})::bigint"),
            Self::InTurn(ads) => format!("1 + number % {ads}"),
        }
    }
}

/// Events spread evenly over a stretch of time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows {
    pub(crate) count: u64,
    pub(crate) start: Timestamp,
    /// Not included.
    pub(crate) end: Timestamp,
    pub(crate) ads: Ads,
}

impl Rows {
    /// Inserts them in the order of their times and leaves the table as after an autovacuum.
    pub(crate) async fn insert(&self, ground: &Ground<'_>) -> anyhow::Result<()> {
        let day = |time| ReportingZone::UTC.day_of(time).date;
        let last = self.end.saturating_add_millis(-1);
        ground
            .store()
            .ensure_partitions(day(self.start), day(last))
            .await?;
        let mut done = 0;
        while done < self.count {
            let end = self.count.min(done + SLICE);
            ground.psql(&self.sql(done, end)).await?;
            ground.psql("CHECKPOINT").await?;
            done = end;
        }
        ground.psql("VACUUM ANALYZE events").await?;
        let rows = ground.rows().await?;
        ensure!(
            rows == self.count,
            "{rows} rows of {} are there",
            self.count
        );
        ground.lab.settle().await
    }

    /// SQL that inserts the rows with numbers from `first` up to `end`, which is not included.
    ///
    /// An id is the time, the version, and a random uuid's own random part: a UUIDv7.
    fn sql(&self, first: u64, end: u64) -> String {
        let Self { count, start, .. } = self;
        let (start, span) = (start.as_millis(), self.end.as_millis() - start.as_millis());
        let (ad, browsers) = (self.ads.sql(), USER_AGENTS.join("','"));
        format!(
            "INSERT INTO events (event_id, ad_id, kind, received_at, ip, user_agent) \
             SELECT (lpad(to_hex(ms), 12, '0') || '7' \
                     || substr(replace(gen_random_uuid()::text, '-', ''), 14))::uuid, \
                    {ad}, (random() < 0.02)::int::smallint, to_timestamp(ms / 1000.0), \
                    ('198.51.' || floor(random() * 256)::int || '.0')::inet, \
                    (ARRAY['{browsers}'])[1 + floor(random() * {})::int] \
             FROM (SELECT number, {start} + number * {span} / {count} AS ms \
                   FROM generate_series({first}::bigint, {end} - 1) AS number) AS numbered",
            USER_AGENTS.len()
        )
    }
}
