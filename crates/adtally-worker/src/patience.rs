//! How a worker meets trouble that passes: it says so once, and waits longer each time.

use std::time::Duration;

use adtally_broker::{Backoff, NotKept};
use adtally_service::{Outage, Shutdown};
use adtally_store::StoreError;

/// A session that held so long was of use: the next trouble is a new one.
const LONG_LIFE: Duration = Duration::from_secs(60);

/// How long a message waits in hand before it is sent once more.
const SEND_PAUSE: Duration = Duration::from_secs(2);

pub(crate) struct Patience {
    pauses: Backoff,
    outage: Outage,
}

impl Patience {
    pub(crate) fn new() -> Self {
        Self {
            pauses: Backoff::default(),
            outage: Outage::of(module_path!()),
        }
    }

    /// Tells of `trouble`, and says how long to wait before the next try.
    pub(crate) fn pause(&mut self, trouble: impl Into<String>) -> Duration {
        self.outage.tell(trouble);
        self.pauses.next_delay()
    }

    /// The same for what the database said. What a person must mend is told by whoever watches for it.
    pub(crate) fn pause_for(&mut self, error: &StoreError) -> Duration {
        if error.is_lasting() {
            return self.pauses.next_delay();
        }
        self.pause(format!("no messages are taken: {error}; trying again"))
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

/// Sends a message again and again until the broker has it.
///
/// A broker whose disk is short takes no messages, and needs nothing more than workers that go on
/// taking them: so this is no reason to end a session.
///
/// # Errors
/// The latest failure, once `stop` is requested.
pub(crate) async fn insist<Sending: Future<Output = Result<(), NotKept>>>(
    stop: &Shutdown,
    send: impl Fn() -> Sending,
) -> Result<(), NotKept> {
    loop {
        match send().await {
            Ok(()) => return Ok(()),
            Err(error) if stop.is_requested() => return Err(error),
            Err(error) => log::debug!("a message is not sent yet: {error}"),
        }
        stop.requested_within(SEND_PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn a_message_is_sent_until_it_is_kept_or_the_worker_stops() {
        let stop = Shutdown::manual();
        let sent = Cell::new(0);
        let refuse_once = || {
            sent.set(sent.get() + 1);
            std::future::ready(if sent.get() == 1 {
                Err(NotKept::Blocked)
            } else {
                Ok(())
            })
        };
        assert_eq!(insist(&stop, refuse_once).await, Ok(()));
        assert_eq!(sent.get(), 2);

        stop.trigger();
        let refuse = || std::future::ready(Err(NotKept::Blocked));
        assert_eq!(insist(&stop, refuse).await, Err(NotKept::Blocked));
    }
}
