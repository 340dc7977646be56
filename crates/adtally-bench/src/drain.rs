//! Workers that empty a backlog, and what that takes.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use anyhow::bail;

use crate::figure::Arm;
use crate::lab::{Ground, Lab};
use crate::program::Program;
use crate::usage::{Meter, Seconds, peak_memory};

/// How long workers are left alone before they are asked how far they are, at least and at most. Asking
/// and answering take a millisecond of processor time, which is for the measuring and not for the storing.
const POLL: RangeInclusive<Duration> = Duration::from_millis(20)..=Duration::from_millis(500);
/// Workers that store nothing for so long have failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// What emptying a backlog took.
#[derive(Debug)]
pub(crate) struct Drained {
    /// Rows that are new.
    pub(crate) stored: u64,
    /// Events that had been stored before.
    pub(crate) duplicates: u64,
    /// Events of both sorts that were done with in the time measured: without the few that a worker
    /// took before all were ready.
    pub(crate) measured: u64,
    /// From the moment all workers were ready.
    pub(crate) seconds: f64,
    /// In the same time; all workers under one name.
    pub(crate) cpu: Seconds,
    /// The most memory that each worker ever held, in bytes.
    pub(crate) peaks: Vec<u64>,
}

impl Drained {
    /// Events done with per second.
    pub(crate) fn arm(self) -> Arm {
        Arm::rate(self.measured, self.seconds, self.cpu)
    }
}

/// Starts `workers` workers on `ground` and stops them when they are done with the `events` events
/// that are queued there.
///
/// # Errors
/// More or fewer new rows than the workers say they stored; no progress; anything that fails.
pub(crate) async fn drain(
    lab: &Lab,
    ground: &Ground<'_>,
    workers: usize,
    events: u64,
) -> anyhow::Result<Drained> {
    drain_with(lab, ground, workers, events, &[]).await
}

/// Like [`drain`], with more variables for the workers.
pub(crate) async fn drain_with(
    lab: &Lab,
    ground: &Ground<'_>,
    workers: usize,
    events: u64,
    environment: &[(&str, String)],
) -> anyhow::Result<Drained> {
    let before = ground.rows().await?;
    let mut running = Vec::with_capacity(workers);
    for _ in 0..workers {
        running.push(Program::worker_with(ground, environment).await?);
    }
    let drained = measure(lab, &running, events).await?;
    for worker in running {
        worker.stop().await?;
    }
    let new = ground.rows().await? - before;
    if new != drained.stored {
        bail!("{} events were stored as {new} rows", drained.stored);
    }
    Ok(drained)
}

async fn measure(lab: &Lab, workers: &[Program], events: u64) -> anyhow::Result<Drained> {
    let watched: Vec<_> = workers.iter().map(|worker| ("worker", worker)).collect();
    let meter = Meter::start(lab, &watched)?;
    let started = Instant::now();
    let early = Progress::of(workers).await?;
    let end = reach(workers, events, Progress::total).await?;
    let (seconds, cpu) = (started.elapsed().as_secs_f64(), meter.stop()?);
    let peaks = workers.iter().map(|worker| peak_memory(worker.pid()));
    Ok(Drained {
        stored: end.stored,
        duplicates: end.duplicates,
        measured: end.total() - early.total(),
        seconds,
        cpu,
        peaks: peaks.collect::<anyhow::Result<_>>()?,
    })
}

/// Waits until `count` of what the workers did together is exactly `events`.
pub(crate) async fn reach(
    workers: &[Program],
    events: u64,
    count: fn(Progress) -> u64,
) -> anyhow::Result<Progress> {
    let began = Instant::now();
    let mut last = (0, began);
    loop {
        let progress = Progress::of(workers).await?;
        let done = count(progress);
        if done == events {
            return Ok(progress);
        }
        if done > last.0 {
            last = (done, Instant::now());
        }
        if done > events || last.1.elapsed() > PATIENCE {
            bail!("{done} events are done with where {events} were to be: {progress:?}");
        }
        tokio::time::sleep(pause(began.elapsed(), done, events)).await;
    }
}

/// A quarter of what the rest will take at this rate: so there are few questions, and the end is found
/// soon after it came.
fn pause(elapsed: Duration, done: u64, events: u64) -> Duration {
    let rest = events.saturating_sub(done) as f64 / done.max(1) as f64;
    let quarter = elapsed.mul_f64((rest / 4.0).min(1.0));
    quarter.clamp(*POLL.start(), *POLL.end())
}

/// How far workers are.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Progress {
    pub(crate) stored: u64,
    pub(crate) duplicates: u64,
}

impl Progress {
    pub(crate) async fn of(workers: &[Program]) -> anyhow::Result<Self> {
        let mut progress = Self::default();
        for worker in workers {
            progress.stored += worker.metric("adtally_events_stored_total").await?;
            progress.duplicates += worker.metric("adtally_events_duplicate_total").await?;
        }
        Ok(progress)
    }

    /// Events done with.
    pub(crate) fn total(self) -> u64 {
        self.stored + self.duplicates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearer_the_end_the_sooner_workers_are_asked() {
        let seconds = Duration::from_secs;
        assert_eq!(pause(seconds(0), 0, 1_000), *POLL.start());
        assert_eq!(pause(seconds(9), 0, 1_000), *POLL.end());
        assert_eq!(pause(seconds(9), 100, 1_000), *POLL.end());
        // A second is left.
        assert_eq!(pause(seconds(9), 900, 1_000), Duration::from_millis(250));
        assert_eq!(pause(seconds(9), 1_000, 1_000), *POLL.start());
        assert_eq!(pause(seconds(9), 2_000, 1_000), *POLL.start());
    }
}
