//! A backlog: events on their queues that no worker has taken yet.

use adtally_domain::{Event, Timestamp};
use adtally_service::clock;

use crate::lab::Ground;
use crate::queues::Filler;
use crate::traffic::Traffic;

/// How far back the oldest event lies, in milliseconds.
const SPAN: u64 = 5 * 60_000;
/// Events in memory at once.
const SLICE: u64 = 80_000;

/// Publishes `count` events for `ads` ads, in the order of their times, which are spread evenly over
/// the last minutes.
///
/// The traffic is the same every time but for these times: backlogs of one ground have no event in
/// common when they are of one size.
pub(crate) async fn fill(ground: &Ground<'_>, count: u64, ads: u32) -> anyhow::Result<()> {
    let filler = Filler::open(ground)?;
    let mut traffic = Traffic::new(ads);
    let mut done = 0;
    let start = Timestamp::try_from(clock::now())?.as_millis() - i64::try_from(SPAN)?;
    while done < count {
        let end = count.min(done + SLICE);
        let events = (done..end).map(|number| {
            let time = start + i64::try_from(number * SPAN / count)?;
            Ok(traffic.event(Timestamp::from_millis(time)?))
        });
        let events: Vec<Event> = events.collect::<anyhow::Result<_>>()?;
        filler.fill(&events).await?;
        done = end;
    }
    filler.close().await;
    Ok(())
}
