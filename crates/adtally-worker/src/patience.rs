//! How a worker meets trouble that passes: it says so once, and waits longer each time.

use std::time::Duration;

use adtally_broker::Backoff;
use adtally_service::Outage;

/// A session that held so long was of use: the next trouble is a new one.
const LONG_LIFE: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(crate) struct Patience {
    pauses: Backoff,
    outage: Outage,
}

impl Patience {
    /// Tells of `trouble`, and says how long to wait before the next try.
    pub(crate) fn pause(&mut self, trouble: impl Into<String>) -> Duration {
        self.outage.tell(trouble);
        self.pauses.next_delay()
    }

    /// Messages are taken again, which may not last.
    pub(crate) fn subscribed(&mut self) {
        self.outage.over("messages are taken again");
    }

    /// A session has ended after `life`.
    pub(crate) fn ended_after(&mut self, life: Duration) {
        if life >= LONG_LIFE {
            self.pauses.reset();
        }
    }
}
