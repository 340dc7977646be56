//! The loop: look at the schedule, send what is due, sleep.

use std::time::Duration;

use adtally_broker::BrokerState;
use adtally_domain::{Entry, ReportingZone, Slot};
use adtally_service::{Check, Failure, Health, Outage, Shutdown};
use tokio::sync::watch;

use crate::ledger::{Ledger, SendError};
use crate::metrics::Metrics;

/// How often beat looks at the schedule. Due is judged by PostgreSQL's clock, so the wait is
/// short rather than exact, and a stepped local clock does no harm.
const TICK: Duration = Duration::from_secs(1);

/// A running beat.
pub(crate) struct Beat {
    pub(crate) ledger: Ledger,
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
                // Told by whoever watches for it.
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
            None => *claimed.insert(self.ledger.claim_zone(asked).await?),
        };
        let now = self.ledger.clock().await?;
        let left_behind = self.ledger.left_behind().await?;
        let ours = self.ledger.write_due(&zone, now, &left_behind).await?;
        for unsent in left_behind {
            match Entry::named(&unsent.entry) {
                Some(entry) => {
                    let at = unsent.slot;
                    self.send(&zone, &Slot { entry, at }).await?;
                }
                // A newer beat wrote it and will send it.
                None => log::debug!("{} is an entry of another version", unsent.entry),
            }
        }
        for slot in ours {
            self.send(&zone, &slot).await?;
        }
        self.metrics.last_tick.set(now.as_millis() / 1_000);
        Ok(())
    }

    async fn send(&self, zone: &ReportingZone, slot: &Slot) -> Result<(), SendError> {
        self.ledger.send(zone, slot).await?;
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
