//! How long a worker waits before it connects again.

use std::time::Duration;

use adtally_broker::Backoff;
use adtally_service::Outage;
use adtally_store::StoreError;

/// After a session that lasted this long, the waits begin anew.
const STABLE_AFTER: Duration = Duration::from_secs(60);

/// Waits that grow from failure to failure. One outage is one line in the log.
pub(crate) struct ReconnectBackoff {
    backoff: Backoff,
    outage: Outage,
}

impl ReconnectBackoff {
    pub(crate) fn new() -> Self {
        Self {
            backoff: Backoff::default(),
            outage: Outage::of(module_path!()),
        }
    }

    /// Logs `trouble`, and returns the wait before the next attempt.
    pub(crate) fn next_delay(&mut self, trouble: impl Into<String>) -> Duration {
        self.outage.tell(trouble);
        self.backoff.next_delay()
    }

    /// The same for an error of the database. A fault that a person must mend is logged by the watch for
    /// obstacles.
    pub(crate) fn next_delay_for(&mut self, error: &StoreError) -> Duration {
        if error.is_lasting() {
            return self.backoff.next_delay();
        }
        self.next_delay(format!("no messages are taken: {error}; trying again"))
    }

    /// Messages are taken again. The waits go on growing unless that lasts.
    pub(crate) fn subscribed(&mut self) {
        self.outage.over("messages are taken again");
    }

    /// A session ended after `duration`.
    pub(crate) fn session_ended(&mut self, duration: Duration) {
        if duration >= STABLE_AFTER {
            self.backoff.reset();
        }
    }
}
