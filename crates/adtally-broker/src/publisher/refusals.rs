//! Queues that take nothing.
//!
//! RabbitMQ notes in a channel that a full quorum queue refuses its messages, and takes the note back
//! when the queue has shrunk below its limit. When the limit is lifted instead, nobody takes it back
//! (seen with 3.10): the queue is empty, and the channel is refused for ever. Another channel is not.

use std::time::Duration;

use adtally_domain::EventKind;
use tokio::time::Instant;

/// How long a session bears nothing but refusals, at first.
const FIRST_PATIENCE: Duration = Duration::from_secs(10);
/// And at most: a queue that stays full is full for every session.
const MOST_PATIENCE: Duration = Duration::from_secs(300);

/// Since when which kinds of messages are refused.
#[derive(Debug)]
pub(super) struct Refusals {
    since: [Option<Instant>; 3],
    patience: Duration,
}

impl Default for Refusals {
    fn default() -> Self {
        Self {
            since: [None; 3],
            patience: FIRST_PATIENCE,
        }
    }
}

impl Refusals {
    /// Takes note of what became of a message of `kind`.
    pub(super) fn note(&mut self, kind: Option<EventKind>, refused: bool, now: Instant) {
        let [impressions, clicks, single] = &mut self.since;
        let since = match kind {
            Some(EventKind::Impression) => impressions,
            Some(EventKind::Click) => clicks,
            None => single,
        };
        if refused {
            since.get_or_insert(now);
        } else if since.take().is_some() {
            self.patience = FIRST_PATIENCE;
        }
    }

    /// Whether another session should be tried, because of some kind every message was refused for
    /// too long. The next session is borne twice as long.
    pub(super) fn exhaust_patience(&mut self, now: Instant) -> bool {
        let mut began = self.since.iter().flatten();
        let exhausted = began.any(|since| now.duration_since(*since) >= self.patience);
        if exhausted {
            self.since = [None; 3];
            self.patience = (self.patience * 2).min(MOST_PATIENCE);
        }
        exhausted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_kind_that_is_always_refused_is_enough_and_each_session_is_borne_longer() {
        let mut refusals = Refusals::default();
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        refusals.note(Some(EventKind::Click), true, after(0));
        refusals.note(Some(EventKind::Impression), false, after(5));
        refusals.note(Some(EventKind::Click), true, after(9));
        assert!(!refusals.exhaust_patience(after(9)));
        assert!(refusals.exhaust_patience(after(10)));

        refusals.note(Some(EventKind::Click), true, after(11));
        assert!(!refusals.exhaust_patience(after(30)));
        assert!(refusals.exhaust_patience(after(31)));
        assert_eq!(refusals.patience, Duration::from_secs(40));
    }

    #[test]
    fn a_message_that_is_taken_ends_it() {
        let mut refusals = Refusals::default();
        let now = Instant::now();
        refusals.note(None, true, now);
        refusals.note(None, false, now);
        assert!(!refusals.exhaust_patience(now + MOST_PATIENCE));
    }
}
