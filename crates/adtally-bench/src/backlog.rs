//! A backlog: events on their queues that no worker has taken yet.

use std::time::Instant;

use adtally_domain::{Event, Timestamp};
use adtally_service::clock;

use crate::figure::per;
use crate::lab::Ground;
use crate::queues::Filler;
use crate::traffic::Traffic;

/// How long ago the oldest event came, in milliseconds, where nothing is said.
const SPAN: i64 = 5 * 60_000;
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

/// Events to publish, in the order of their times, which are spread evenly.
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
    pub(crate) period: Period,
}

/// When events came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Period {
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
}

impl Period {
    /// The last minutes.
    pub(crate) fn recent() -> anyhow::Result<Self> {
        let end = Timestamp::try_from(clock::now())?;
        let start = end.saturating_add_millis(-SPAN);
        Ok(Self { start, end })
    }
}

impl Backlog {
    /// Publishes it, and says how many events that makes with those that are repeated.
    pub(crate) async fn fill(self, ground: &Ground<'_>) -> anyhow::Result<u64> {
        let filler = Filler::open(ground)?;
        let began = Instant::now();
        let mut published = self.pass(&filler).await?;
        if self.repeats == Repeats::All {
            published += self.pass(&filler).await?;
        }
        filler.close().await;
        let rate = per(published, began.elapsed().as_secs_f64());
        log::debug!("{published} events published and confirmed, {rate:.0}/s");
        Ok(published)
    }

    async fn pass(self, filler: &Filler) -> anyhow::Result<u64> {
        let Period { start, end } = self.period;
        let span = u64::try_from(end.as_millis() - start.as_millis())?;
        let mut traffic = Traffic::new(self.ads);
        let (mut done, mut published) = (0, 0);
        let mut earlier = Vec::new();
        while done < self.events {
            let slice_end = self.events.min(done + SLICE);
            let events = (done..slice_end).map(|number| {
                let after_start = i64::try_from(number * span / self.events)?;
                Ok(traffic.event(start.saturating_add_millis(after_start)))
            });
            let mut events: Vec<Event> = events.collect::<anyhow::Result<_>>()?;
            if self.repeats == Repeats::OneInHundred {
                let repeated = events.iter().step_by(100).cloned().collect();
                events = interspersed(events, std::mem::replace(&mut earlier, repeated));
            }
            filler.fill(&events).await?;
            published += events.len() as u64;
            done = slice_end;
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
        period: Period::recent()?,
    };
    backlog.fill(ground).await.map(drop)
}
