//! The loop: look at the schedule, send what is due, sleep.

use std::time::Duration;

use adtally_broker::BrokerState;
use adtally_domain::{Entry, ReportingZone, Slot};
use adtally_service::{Check, Failure, Health, Outage, Shutdown};
use tokio::sync::watch;

use crate::metrics::Metrics;
use crate::outbox::{Outbox, SendError};

/// How often beat looks at the schedule. Due is judged by PostgreSQL's clock, so the wait is
/// short rather than exact, and a stepped local clock does no harm.
const TICK: Duration = Duration::from_secs(1);

/// A running beat.
pub(crate) struct Beat {
    pub(crate) outbox: Outbox,
    pub(crate) health: Health,
    pub(crate) metrics: Metrics,
    pub(crate) broker: watch::Receiver<BrokerState>,
}

impl Beat {
    /// Runs until `shutdown`.
    pub(crate) async fn run(
        mut self,
        asked: Option<ReportingZone>,
        shutdown: &Shutdown,
    ) -> anyhow::Result<()> {
        let database = self.health.check("database");
        let broker = self.health.check("broker");
        let mut outage = Outage::of(module_path!());
        let mut zone = None;
        while !shutdown.is_requested() {
            let tick = tokio::select! {
                tick = self.tick(asked, &mut zone) => tick,
                () = shutdown.requested() => break,
            };
            show_broker(&broker, &self.broker.borrow_and_update());
            match tick {
                Ok(()) => {
                    outage.over("slots are sent again");
                    database.ready();
                }
                // The watch for obstacles logs it.
                Err(SendError::Store(error)) if error.is_lasting() => {
                    database.not_ready(error.to_string());
                }
                Err(SendError::Store(error)) if error.is_transient() => {
                    outage.tell(format!("slots wait: {error}; trying again"));
                    database.not_ready(error.to_string());
                }
                Err(SendError::Store(error)) => {
                    return Err(Failure::configuration(error.to_string()).into());
                }
                Err(error @ SendError::Broker(_)) => {
                    outage.tell(format!("slots wait: {error}; trying again"));
                    database.ready();
                }
            }
            shutdown.requested_within(TICK).await;
        }
        Ok(())
    }

    async fn tick(
        &self,
        asked: Option<ReportingZone>,
        claimed: &mut Option<ReportingZone>,
    ) -> Result<(), SendError> {
        let zone = match *claimed {
            Some(zone) => zone,
            None => *claimed.insert(self.outbox.claim_zone(asked).await?),
        };
        let now = self.outbox.clock().await?;
        let unsent = self.outbox.unsent().await?;
        let inserted = self.outbox.insert_due(&zone, now, &unsent).await?;
        for slot in unsent {
            match Entry::named(&slot.entry) {
                Some(entry) => {
                    let at = slot.slot;
                    self.send(&zone, &Slot { entry, at }).await?;
                }
                // A newer beat inserted it and will send it.
                None => log::debug!("{} is an entry of another version", slot.entry),
            }
        }
        for slot in inserted {
            self.send(&zone, &slot).await?;
        }
        self.metrics.last_tick.set(now.as_millis() / 1_000);
        Ok(())
    }

    async fn send(&self, zone: &ReportingZone, slot: &Slot) -> Result<(), SendError> {
        self.outbox.send(zone, slot).await?;
        self.metrics
            .slots_sent
            .with_label_values(&[slot.entry.name])
            .inc();
        Ok(())
    }
}

fn show_broker(check: &Check, state: &BrokerState) {
    if state.is_open() {
        check.ready();
    } else {
        check.not_ready(state.to_string());
    }
}
