//! `adtally dev --demo`: two days of traffic, its totals, and a trickle that goes on.

use std::io::{self, Write};
use std::time::Duration;

use adtally_broker::{BrokerConfig, Publisher, PublisherOptions};
use adtally_domain::{AdId, AdvertiserId, EventId, ReportingZone, SweepDirty, Task, Timestamp};
use adtally_service::{ExitKind, ResultExt, clock};
use adtally_store::{Granularity, NewAd, NewAdvertiser, StatsSpan, Store, StoreConfig, StoreError};
use anyhow::{Context, bail};
use chrono::Timelike;
use tokio::time::Instant;
use uuid::Uuid;

use super::servers::Servers;
use crate::api::{Answer, ApiUrl, Client, ClientOptions};
use crate::audit::{self, Findings};
use crate::load::{Traffic, TrafficShape};
use crate::numbers::counted;
use crate::stats::{self, totals_of_all};

const ADS: u32 = 4;
const SHAPE: TrafficShape = TrafficShape {
    ads: ADS,
    slope: 1.0,
    click_share: 0.03,
};
const HOUR_MILLIS: i64 = 3_600_000;
/// How much history is sent.
const HISTORY_MILLIS: i64 = 48 * HOUR_MILLIS;
/// How long after its end a bucket is final, as in the API.
const FINAL_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
/// Events in one request.
const BATCH: usize = 1_000;
/// How long storing and rolling up the history may take on a slow machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// The demonstration, ready to run.
pub(super) struct Demo {
    store: Store,
    zone: ReportingZone,
    client: Client,
    publisher: Publisher,
    traffic: Traffic,
}

impl Demo {
    pub(super) fn new(
        servers: &Servers,
        prefix: &str,
        api: &str,
        zone: ReportingZone,
    ) -> anyhow::Result<Self> {
        let urls: Vec<_> = servers.amqp_url.split(',').collect();
        let broker =
            BrokerConfig::new(&urls, prefix, "adtally-dev").or_exit(ExitKind::Configuration)?;
        Ok(Self {
            store: Store::connect(StoreConfig::new(&servers.database_url)),
            zone,
            client: Client::new(ApiUrl::parse(api)?, ClientOptions::default())?,
            publisher: Publisher::start(broker, PublisherOptions::default()),
            traffic: Traffic::new(SHAPE, 1),
        })
    }

    /// Sends the history, rolls it up and prints what it came to.
    pub(super) async fn show(&mut self) -> anyhow::Result<()> {
        self.make_ads().await?;
        let now = Timestamp::try_from(clock::now())?;
        let ids = self.send_history(now).await?;
        say(&format!(
            "{} sent, storing and adding up",
            counted(ids.len() as u64, "event")
        ));
        self.wait_until_stored(ids).await?;
        self.roll_up().await?;
        self.print(now).await
    }

    /// Sends a few events each second, for ever.
    pub(super) async fn trickle(&mut self) -> anyhow::Result<()> {
        loop {
            let now = Timestamp::try_from(clock::now())?;
            // The API may be restarting: the demonstration outlives that.
            if let Err(error) = self.send(&[now, now]).await {
                log::warn!("live traffic: {error:#}");
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Ads whose clicks lead somewhere. Those of an earlier demonstration stay.
    async fn make_ads(&self) -> Result<(), StoreError> {
        let Some(advertiser) = AdvertiserId::new(1) else {
            return Ok(());
        };
        let acme = NewAdvertiser {
            id: Some(advertiser),
            name: "Acme".to_owned(),
        };
        ignore_conflict(self.store.create_advertiser(acme).await.map(drop))?;
        for number in 1..=ADS {
            let ad = NewAd {
                id: AdId::new(i64::from(number)),
                advertiser_id: advertiser,
                title: format!("Demonstration {number}"),
                image_url: None,
                target_url: Some(format!("https://example.com/landing/{number}")),
                approved: true,
            };
            ignore_conflict(self.store.create_ad(ad).await.map(drop))?;
        }
        Ok(())
    }

    async fn send_history(&mut self, now: Timestamp) -> anyhow::Result<Vec<EventId>> {
        let (mut ids, mut times) = (Vec::new(), Vec::with_capacity(BATCH));
        let mut time = now.saturating_add_millis(-HISTORY_MILLIS);
        while time < now {
            times.push(time);
            time = time.saturating_add_millis(self.pause_at(time));
            if times.len() == BATCH || time >= now {
                ids.extend(self.send(&times).await?);
                times.clear();
            }
        }
        Ok(ids)
    }

    /// The time to the next event: people see most ads in the evening and fewest before dawn.
    fn pause_at(&self, time: Timestamp) -> i64 {
        let from_evening = (i64::from(self.zone.local(time).hour()) - 20).rem_euclid(24);
        let hours_away = from_evening.min(24 - from_evening);
        4_000 + 1_000 * hours_away
    }

    async fn send(&mut self, times: &[Timestamp]) -> anyhow::Result<Vec<EventId>> {
        let (mut body, mut ids) = (vec![b'['], Vec::with_capacity(times.len()));
        for time in times {
            if !ids.is_empty() {
                body.push(b',');
            }
            ids.push(self.traffic.write_event(*time, &mut body));
        }
        body.push(b']');
        let response = self.client.post_events("demo", body.into(), false).await?;
        match Answer::to(times.len(), &response) {
            Answer::Judged(refused) if refused.is_empty() => Ok(ids),
            Answer::Judged(refused) => {
                bail!("the API refused {}", counted(refused.len() as u64, "event"))
            }
            Answer::Busy { reason, .. } | Answer::Malformed { reason } => {
                bail!("the API answered {reason}")
            }
        }
    }

    async fn wait_until_stored(&self, ids: Vec<EventId>) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        for some in ids.chunks(5_000) {
            while self.store.find_events(some.to_vec()).await?.stored.len() < some.len() {
                wait_before(deadline)
                    .await
                    .context("the history is not stored")?;
            }
        }
        Ok(())
    }

    /// Sends sweeps, as beat does each minute, until nothing that is over waits for a roll-up.
    async fn roll_up(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let report = self.store.audit(self.zone).await?;
            if report.pending_hours.is_empty() && report.pending_days.is_empty() {
                return Ok(());
            }
            let sweep = SweepDirty {}.message(Uuid::now_v7());
            self.publisher.publish_task(&sweep).await?;
            wait_before(deadline)
                .await
                .context("the history is not rolled up")?;
        }
    }

    async fn print(&self, now: Timestamp) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        for (granularity, hours) in [(Granularity::Hour, 24), (Granularity::Day, 48)] {
            let span = StatsSpan {
                granularity,
                from: now.saturating_add_millis(-hours * HOUR_MILLIS),
                to: now,
                final_after: FINAL_AFTER,
            };
            let totals = totals_of_all(&self.store, self.zone, span).await?;
            writeln!(out)?;
            stats::render(&totals, &mut out)?;
        }
        let report = self.store.audit(self.zone).await?;
        writeln!(out)?;
        audit::render(&Findings::of_database(self.zone, &report), &mut out)?;
        writeln!(out, "\nlive traffic goes on, Ctrl-C stops everything")?;
        Ok(out.flush()?)
    }
}

fn ignore_conflict(made: Result<(), StoreError>) -> Result<(), StoreError> {
    match made {
        Err(StoreError::Conflict { .. }) => Ok(()),
        other => other,
    }
}

async fn wait_before(deadline: Instant) -> anyhow::Result<()> {
    if Instant::now() > deadline {
        bail!("after {} s; see the workers' logs", PATIENCE.as_secs());
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    Ok(())
}

fn say(line: &str) {
    // Nobody reads on when standard output is closed; the traffic goes on all the same.
    let _closed = writeln!(io::stdout(), "{line}");
}
