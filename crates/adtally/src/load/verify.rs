//! What became of the events, asked of the database id by id.

#[cfg(test)]
mod database_tests;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use adtally_domain::EventId;
use adtally_service::Shutdown;
use adtally_store::{FoundEvents, Store, StoreError};
use serde::Serialize;

use super::ledger::{Fate, Ledger};
use crate::numbers::{counted, thousands};
use crate::queues::Queues;

/// How many ids the database is asked for at once.
const LOOKUP: usize = 5_000;
/// How often the queues are looked at.
const POLL: Duration = Duration::from_millis(500);
/// How many looks in a row must find the queues empty: a worker may be about to return something.
const QUIET_POLLS: u32 = 4;
/// How many offending ids are shown.
const SHOWN: usize = 20;

/// What was found, and what should not have been.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Verification {
    accepted_stored: u64,
    accepted_dead_letters: u64,
    uncertain_stored: u64,
    /// Messages still queued at the deadline.
    still_queued: u64,
    /// Accepted events that are nowhere.
    accepted_but_missing: Vec<EventId>,
    /// Rejected events that are stored or dead letters.
    rejected_but_kept: Vec<EventId>,
    /// Events that are stored more than once.
    stored_twice: Vec<EventId>,
}

/// Compares a ledger with the database.
pub(super) struct Verifier {
    store: Store,
    queues: Queues,
    timeout: Duration,
}

impl Verifier {
    /// A verifier that waits up to `timeout` for events on their way.
    pub(super) fn new(store: Store, queues: Queues, timeout: Duration) -> Self {
        Self {
            store,
            queues,
            timeout,
        }
    }

    /// Waits until the queues are empty and all accepted events have arrived, or long enough, and
    /// then looks up every id. A `shutdown` ends the waiting.
    ///
    /// # Errors
    /// When the database goes away for good.
    pub(super) async fn verify(
        &mut self,
        ledger: &Ledger,
        shutdown: &Shutdown,
    ) -> Result<Verification, StoreError> {
        let still_queued = self.settle(ledger, shutdown).await?;
        let mut verification = Verification {
            still_queued,
            ..Verification::default()
        };
        for fate in Fate::ALL {
            for ids in ledger.ids(fate).chunks(LOOKUP) {
                let found = self.store.find_events(ids.to_vec()).await?;
                verification.enter(fate, ids, &found);
            }
        }
        Ok(verification)
    }

    /// Waits; the messages that are queued in the end.
    async fn settle(&mut self, ledger: &Ledger, shutdown: &Shutdown) -> Result<u64, StoreError> {
        let started = Instant::now();
        let mut missing = ledger.ids(Fate::Accepted).to_vec();
        let mut quiet = 0;
        loop {
            // A broker that is away for a moment holds its messages.
            let queued = self.queues.events_waiting().await.unwrap_or(u64::MAX);
            quiet = if queued == 0 { quiet + 1 } else { 0 };
            if quiet > 0 {
                missing = self.missing(missing).await?;
            }
            if quiet >= QUIET_POLLS && missing.is_empty() {
                return Ok(0);
            }
            if started.elapsed() >= self.timeout || shutdown.requested_within(POLL).await {
                return Ok(queued);
            }
        }
    }

    /// Those of `ids` that have not arrived.
    async fn missing(&self, ids: Vec<EventId>) -> Result<Vec<EventId>, StoreError> {
        let mut missing = Vec::new();
        for ids in ids.chunks(LOOKUP) {
            let found = self.store.find_events(ids.to_vec()).await?;
            let places = places(&found);
            missing.extend(ids.iter().filter(|id| !places.contains_key(id)));
        }
        Ok(missing)
    }
}

/// How often each id that was found is stored.
fn places(found: &FoundEvents) -> HashMap<EventId, u32> {
    let mut places: HashMap<EventId, u32> = found.dead_letters.iter().map(|id| (*id, 0)).collect();
    for id in &found.stored {
        *places.entry(*id).or_default() += 1;
    }
    places
}

impl Verification {
    fn enter(&mut self, fate: Fate, ids: &[EventId], found: &FoundEvents) {
        let places = places(found);
        for id in ids {
            let stored = places.get(id).copied();
            if stored.is_some_and(|times| times > 1) {
                self.stored_twice.push(*id);
            }
            match (fate, stored) {
                (Fate::Accepted, None) => self.accepted_but_missing.push(*id),
                (Fate::Accepted, Some(0)) => self.accepted_dead_letters += 1,
                (Fate::Accepted, Some(_)) => self.accepted_stored += 1,
                (Fate::Rejected, Some(_)) => self.rejected_but_kept.push(*id),
                (Fate::Refused | Fate::Unknown, Some(1..)) => self.uncertain_stored += 1,
                (Fate::Rejected | Fate::Refused | Fate::Unknown, _) => {}
            }
        }
    }

    /// Whether everything is as the answers promised.
    pub(super) fn holds(&self) -> bool {
        self.accepted_but_missing.is_empty()
            && self.rejected_but_kept.is_empty()
            && self.stored_twice.is_empty()
            && self.still_queued == 0
    }

    /// Writes what was found, and the first offending ids.
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(
            out,
            "of the accepted events {} are stored, {} are dead letters, {} are missing; \
             {} without a clear answer are stored",
            thousands(self.accepted_stored),
            thousands(self.accepted_dead_letters),
            thousands(self.accepted_but_missing.len() as u64),
            thousands(self.uncertain_stored),
        )?;
        if self.still_queued == u64::MAX {
            writeln!(out, "the queues could not be looked at")?;
        } else if self.still_queued > 0 {
            let messages = counted(self.still_queued, "message");
            writeln!(out, "{messages} still queued: are workers running?")?;
        }
        list(out, "accepted but missing", &self.accepted_but_missing)?;
        list(out, "rejected but kept", &self.rejected_but_kept)?;
        list(out, "stored more than once", &self.stored_twice)?;
        if self.holds() {
            writeln!(
                out,
                "verified: every accepted event is kept once, no rejected one is"
            )?;
        }
        Ok(())
    }
}

fn list(out: &mut impl Write, what: &str, ids: &[EventId]) -> io::Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    writeln!(out, "{what}: {}", counted(ids.len() as u64, "event"))?;
    for id in ids.iter().take(SHOWN) {
        writeln!(out, "  {id}  {}", id.time())?;
    }
    if ids.len() > SHOWN {
        writeln!(out, "  and {} more", thousands((ids.len() - SHOWN) as u64))?;
    }
    Ok(())
}
