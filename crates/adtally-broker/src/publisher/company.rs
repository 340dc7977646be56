//! Whether a round of packs waits for the next events of those who were just answered.
//!
//! Whoever waits for an answer before sending again is back at once, and a message costs the broker
//! about the same however many events it holds. Senders that keep to a pace of their own are not back,
//! and waiting for them only makes their events late: so a wait in vain is not soon repeated.

use std::time::Duration;

use tokio::time::Instant;

/// With fewer events than this on their way no round waits: there is little to save.
const FEW_EVENTS: usize = 16;

/// A round of so many events does not wait for more: what a message costs the broker besides its
/// events is little by then.
const ENOUGH_EVENTS: usize = 64;

/// A round waits at most as long as the one before was on its way, for what delays the broker delays those
/// who were answered too. But it may wait so long in any case; timers fire up to a millisecond or so later.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// And no longer, however long the broker took.
const LONGEST_WAIT: Duration = Duration::from_millis(5);

/// Rounds that do not wait after one that waited in vain, at most.
const MOST_PASSED: u32 = 1_024;

/// What rounds know of those they wait for.
#[derive(Debug, Default)]
pub(super) struct Company {
    awaited: Option<Awaited>,
    /// So many rounds do not wait.
    to_pass: u32,
    /// How many that were after the last wait in vain; none since one was not.
    passed: u32,
}

/// The events that a round waits for.
#[derive(Debug, Clone, Copy)]
struct Awaited {
    events: usize,
    until: Instant,
}

impl Company {
    /// A round has landed after its `flight`. So many events were answered with it or waited then, and so
    /// many wait now. For a pack that came late the flight may be a later round's: it only bounds a wait.
    pub(super) fn expect(&mut self, around: usize, waiting: usize, flight: Duration, now: Instant) {
        // Not all of them, or the slowest would hold up the others.
        let events = (around - around / 8).min(ENOUGH_EVENTS);
        if around < FEW_EVENTS || waiting >= events {
            return;
        }
        if self.to_pass > 0 {
            self.to_pass -= 1;
            return;
        }
        let until = now + flight.clamp(SHORTEST_WAIT, LONGEST_WAIT);
        self.awaited = Some(Awaited { events, until });
    }

    /// How many events more are awaited when so many wait, and until when.
    pub(super) fn missing(&self, waiting: usize, now: Instant) -> Option<(usize, Instant)> {
        let Awaited { events, until } = self.awaited.filter(|awaited| now < awaited.until)?;
        let missing = events.checked_sub(waiting).filter(|missing| *missing > 0)?;
        Some((missing, until))
    }

    /// The next round may leave, with so many events.
    pub(super) fn leave(&mut self, events: usize) {
        let Some(awaited) = self.awaited.take() else {
            return;
        };
        self.passed = if events < awaited.events {
            (self.passed * 2).clamp(1, MOST_PASSED)
        } else {
            0
        };
        self.to_pass = self.passed;
    }

    /// The connection is lost: nobody was answered.
    pub(super) fn forget(&mut self) {
        self.awaited = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLIGHT: Duration = Duration::from_millis(2);

    #[test]
    fn waits_in_vain_become_rare() {
        let (mut company, now) = (Company::default(), Instant::now());
        let mut waits = Vec::new();
        for round in 0..40_000 {
            company.expect(32, 4, FLIGHT, now);
            if company.missing(4, now).is_some() {
                waits.push(round);
            }
            assert_eq!(company.missing(4, now + FLIGHT), None);
            company.leave(4);
        }
        assert_eq!(waits[..6], [0, 2, 5, 10, 19, 36]);
        let last = &waits[waits.len() - 2..];
        assert_eq!(last[1] - last[0], 1_025);
    }

    #[test]
    fn company_that_came_is_awaited_again() {
        let (mut company, now) = (Company::default(), Instant::now());
        let missing = Some((24, now + FLIGHT));
        company.expect(32, 4, FLIGHT, now);
        company.leave(4);
        company.expect(32, 4, FLIGHT, now);
        assert_eq!(company.missing(4, now), None, "it was in vain");
        for _ in 0..2 {
            company.expect(32, 4, FLIGHT, now);
            assert_eq!(company.missing(4, now), missing);
            assert_eq!(company.missing(28, now), None);
            company.leave(28);
        }
    }

    #[test]
    fn company_that_is_there_already_says_nothing_of_waiting() {
        let (mut company, now) = (Company::default(), Instant::now());
        company.expect(32, 4, FLIGHT, now);
        company.leave(4);
        company.expect(32, 28, FLIGHT, now);
        company.leave(28);
        company.expect(32, 4, FLIGHT, now);
        assert_eq!(company.missing(4, now), None);
        company.expect(32, 4, FLIGHT, now);
        assert!(company.missing(4, now).is_some());
    }

    #[test]
    fn a_wait_is_as_long_as_a_flight_within_bounds() {
        let now = Instant::now();
        for (flight, wait) in [(0, 1_000), (1_700, 1_700), (900_000, 5_000)] {
            let mut company = Company::default();
            company.expect(32, 4, Duration::from_micros(flight), now);
            let until = company.missing(4, now).map(|(_, until)| until);
            assert_eq!(until, Some(now + Duration::from_micros(wait)));
        }
    }
}
