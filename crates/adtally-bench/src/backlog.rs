//! A backlog: events on their queues that no worker has taken yet.

use std::time::Instant;

use adtally_domain::{Event, Timestamp};
use adtally_service::clock;

use crate::figure::per;
use crate::lab::Ground;
use crate::queues::Filler;
use crate::traffic::Traffic;

/// How far back the oldest event lies, in milliseconds.
const SPAN: u64 = 5 * 60_000;
/// Events in memory at once.
const SLICE: u64 = 80_000;

/// Which events come more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeats {
    /// None.
    None,
    /// One in a hundred, evenly spread; each long after it came first.
    OneInHundred,
    /// All, once more after all of them.
    All,
}

/// Events to publish, in the order of their times, which are spread evenly over the last minutes.
///
/// The traffic is the same every time but for these times: backlogs of one ground have no event in
/// common when they are of one size.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backlog {
    /// How many different events.
    pub(crate) events: u64,
    /// For how many ads.
    pub(crate) ads: u32,
    pub(crate) repeats: Repeats,
}

impl Backlog {
    /// Publishes it, and says how many events that makes with those that are repeated.
    pub(crate) async fn fill(self, ground: &Ground<'_>) -> anyhow::Result<u64> {
        let filler = Filler::open(ground)?;
        let began = Instant::now();
        let start = Timestamp::try_from(clock::now())?.as_millis() - i64::try_from(SPAN)?;
        let mut published = self.pass(&filler, start).await?;
        if self.repeats == Repeats::All {
            published += self.pass(&filler, start).await?;
        }
        filler.close().await;
        let rate = per(published, began.elapsed().as_secs_f64());
        log::debug!("{published} events published and confirmed, {rate:.0}/s");
        Ok(published)
    }

    async fn pass(self, filler: &Filler, start: i64) -> anyhow::Result<u64> {
        let mut traffic = Traffic::new(self.ads);
        let (mut done, mut published) = (0, 0);
        let mut earlier = Vec::new();
        while done < self.events {
            let end = self.events.min(done + SLICE);
            let events = (done..end).map(|number| {
                let time = start + i64::try_from(number * SPAN / self.events)?;
                Ok(traffic.event(Timestamp::from_millis(time)?))
            });
            let mut events: Vec<Event> = events.collect::<anyhow::Result<_>>()?;
            if self.repeats == Repeats::OneInHundred {
                let repeated = events.iter().step_by(100).cloned().collect();
                events = interspersed(events, std::mem::replace(&mut earlier, repeated));
            }
            filler.fill(&events).await?;
            published += events.len() as u64;
            done = end;
        }
        Ok(published)
    }
}

/// `events` with one of `others` after each hundred.
fn interspersed(events: Vec<Event>, others: Vec<Event>) -> Vec<Event> {
    let mut others = others.into_iter();
    let mut all = Vec::with_capacity(events.len() + others.len());
    for (place, event) in events.into_iter().enumerate() {
        all.push(event);
        if place % 100 == 99 {
            all.extend(others.next());
        }
    }
    all
}

/// Publishes `count` events for `ads` ads, none repeated.
pub(crate) async fn fill(ground: &Ground<'_>, count: u64, ads: u32) -> anyhow::Result<()> {
    let backlog = Backlog {
        events: count,
        ads,
        repeats: Repeats::None,
    };
    backlog.fill(ground).await.map(drop)
}
