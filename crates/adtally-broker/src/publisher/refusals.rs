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
/// A refusal longer ago than this says nothing about now.
const RECENT: Duration = Duration::from_secs(5);

/// Which kinds of messages are refused, and since when.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    impressions: Refused,
    clicks: Refused,
    single: Refused,
}

/// How it stands with one kind.
#[derive(Debug)]
struct Refused {
    /// The first and the latest refusal since a message was taken, in this session.
    span: Option<(Instant, Instant)>,
    patience: Duration,
}

impl Default for Refused {
    fn default() -> Self {
        Self {
            span: None,
            patience: FIRST_PATIENCE,
        }
    }
}

impl Refusals {
    /// Takes note of what became of a message of `kind`.
    pub(super) fn note(&mut self, kind: Option<EventKind>, refused: bool, now: Instant) {
        let of_kind = match kind {
            Some(EventKind::Impression) => &mut self.impressions,
            Some(EventKind::Click) => &mut self.clicks,
            None => &mut self.single,
        };
        if refused {
            let first = of_kind.span.map_or(now, |(first, _)| first);
            of_kind.span = Some((first, now));
        } else {
            *of_kind = Refused::default();
        }
    }

    /// Whether another session should be tried, because every message of some kind was refused for
    /// too long and still is. The next session is borne twice as long.
    pub(super) fn exhaust_patience(&mut self, now: Instant) -> bool {
        let mut kinds = [&mut self.impressions, &mut self.clicks, &mut self.single];
        let exhausted = kinds.iter_mut().any(|kind| kind.exhaust(now));
        if exhausted {
            kinds.into_iter().for_each(|kind| kind.span = None);
        }
        exhausted
    }
}

impl Refused {
    fn exhaust(&mut self, now: Instant) -> bool {
        let exhausted = self.span.is_some_and(|(first, latest)| {
            now.duration_since(first) >= self.patience && now.duration_since(latest) < RECENT
        });
        if exhausted {
            self.patience = (self.patience * 2).min(MOST_PATIENCE);
        }
        exhausted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLICK: Option<EventKind> = Some(EventKind::Click);
    const IMPRESSION: Option<EventKind> = Some(EventKind::Impression);

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn one_kind_that_is_always_refused_is_enough_and_each_session_is_borne_longer() {
        let (mut refusals, start) = (Refusals::default(), Instant::now());
        refusals.note(CLICK, true, start);
        refusals.note(IMPRESSION, false, after(start, 5));
        refusals.note(CLICK, true, after(start, 9));
        assert!(!refusals.exhaust_patience(after(start, 9)));
        assert!(refusals.exhaust_patience(after(start, 10)));

        for seconds in [11, 30] {
            refusals.note(CLICK, true, after(start, seconds));
        }
        assert!(!refusals.exhaust_patience(after(start, 30)));
        assert!(refusals.exhaust_patience(after(start, 31)));
        assert_eq!(refusals.clicks.patience, Duration::from_secs(40));
        // The new session's queue takes it: the next trouble begins anew.
        refusals.note(CLICK, false, after(start, 32));
        assert_eq!(refusals.clicks.patience, FIRST_PATIENCE);
    }

    #[test]
    fn a_message_that_is_taken_ends_it_and_one_refusal_long_ago_is_none() {
        let (mut refusals, now) = (Refusals::default(), Instant::now());
        refusals.note(None, true, now);
        assert!(!refusals.exhaust_patience(after(now, 600)));
        refusals.note(None, false, now);
        refusals.note(None, true, after(now, 601));
        assert!(!refusals.exhaust_patience(after(now, 602)));
    }
}
