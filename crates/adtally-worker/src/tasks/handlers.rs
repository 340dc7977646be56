//! What each task does.

use std::fmt::Display;
use std::time::Duration;

use adtally_domain::{
    AggregateDay, AggregateHour, MaintainPartitions, ReportingZone, SweepDirty, Task, TaskMessage,
    Timestamp, sweep_task_id,
};
use adtally_store::{RollUp, Store, StoreError, TaskRun};
use chrono::{Days, NaiveDate};

use super::handler::{TaskContext, TaskError, TaskHandler};
use super::registry::Registry;

/// Days after today whose partition is made ahead of time.
const DAYS_AHEAD: Days = Days::new(7);
/// How long the runs of tasks and the slots of what is only due once are remembered. No message waits
/// in a queue for so long.
const REMEMBERED: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// A sweep adds no tasks to a queue that still holds more than these: it would only repeat what
/// an earlier sweep sent.
const WAITING_TASKS: u32 = 16;
/// Hours whose roll-ups one sweep sends, which is a matter of seconds. The next one goes on.
const HOURS_AT_ONCE: usize = 2_000;

/// Every task that has a handler.
pub(super) fn registry() -> Registry {
    let mut registry = Registry::default();
    registry.register::<AggregateHour>();
    registry.register::<AggregateDay>();
    registry.register::<SweepDirty>();
    registry.register::<MaintainPartitions>();
    registry
}

impl TaskHandler for AggregateHour {
    async fn run(self, context: &TaskContext, run: TaskRun) -> Result<(), TaskError> {
        let start = Timestamp::try_from(self.hour).ok();
        let hour = start
            .and_then(|start| context.zone.hour_starting(start))
            .ok_or_else(|| {
                TaskError::Discard(format!(
                    "no hour of {} starts at {}",
                    context.zone, self.hour
                ))
            })?;
        let done = context.store.roll_up_hour(run, context.zone, hour).await?;
        log_roll_up("hour", context.zone.local(hour.start), done);
        Ok(())
    }
}

impl TaskHandler for AggregateDay {
    async fn run(self, context: &TaskContext, run: TaskRun) -> Result<(), TaskError> {
        let day = context.zone.day(self.day).ok_or_else(|| {
            TaskError::Discard(format!("{} has no day {}", context.zone, self.day))
        })?;
        let done = context.store.roll_up_day(run, context.zone, day).await?;
        log_roll_up("day", day.date, done);
        Ok(())
    }
}

fn log_roll_up(what: &str, bucket: impl Display, done: RollUp) {
    match (what, done.missing) {
        (_, 0) => log::info!("{what} {bucket}: {} changed totals", done.changed()),
        ("hour", missing) => log::error!(
            "hour {bucket} is closed: {missing} of the raw events in its totals are gone. The totals \
             stay as they are, late events become dead letters; see `adtally audit`"
        ),
        (_, missing) => log::error!(
            "day {bucket} stays as it is: its hours lack {missing} of the events in its totals. Run \
             `adtally rebuild` over it, or see `adtally audit`"
        ),
    }
}

impl TaskHandler for SweepDirty {
    async fn run(self, context: &TaskContext, run: TaskRun) -> Result<(), TaskError> {
        let waiting = context.waiting_tasks().await;
        let waiting = waiting.map_err(|error| TaskError::Retry(error.to_string()))?;
        if waiting > WAITING_TASKS {
            log::info!("no sweep: {waiting} tasks still wait");
        } else {
            for task in due_roll_ups(context, &run).await? {
                let sent = context.publisher.publish_task(&task).await;
                sent.map_err(|error| TaskError::Retry(error.to_string()))?;
            }
        }
        // However many tasks wait: it keeps readers of the running hour from adding up all of its marks.
        context.store.count_open_hours(context.zone).await?;
        Ok(context.store.finish_task(run).await?)
    }
}

/// A roll-up for each marked hour that is over, oldest first, then for each day that is over and is
/// marked itself or by one of those hours.
async fn due_roll_ups(
    context: &TaskContext,
    sweep: &TaskRun,
) -> Result<Vec<TaskMessage>, TaskError> {
    let (zone, store) = (context.zone, &context.store);
    let now = store.clock().await?;
    let hours = store.pending_hours().await?;
    let mut days = store.pending_days().await?;
    let mut tasks = Vec::new();
    for hour in hours
        .into_iter()
        .map(|start| zone.hour_of(start))
        .filter(|hour| hour.end <= now)
        .take(HOURS_AT_ONCE)
    {
        let id = sweep_task_id(sweep.task_id, &format!("hour {}", hour.start));
        tasks.push(
            AggregateHour {
                hour: hour.start.to_datetime(),
            }
            .message(id),
        );
        days.push(zone.day_of(hour.start).date);
    }
    days.sort_unstable();
    days.dedup();
    for day in days.into_iter().filter(|date| is_over(&zone, *date, now)) {
        let id = sweep_task_id(sweep.task_id, &format!("day {day}"));
        tasks.push(AggregateDay { day }.message(id));
    }
    Ok(tasks)
}

fn is_over(zone: &ReportingZone, date: NaiveDate, now: Timestamp) -> bool {
    zone.day(date).is_some_and(|day| day.end <= now)
}

/// Makes the partitions of today and of the days to come.
pub(crate) async fn make_partitions(store: &Store) -> Result<(), StoreError> {
    let today = store.clock().await?.to_datetime().date_naive();
    let last = today.checked_add_days(DAYS_AHEAD).unwrap_or(today);
    store.ensure_partitions(today, last).await.map(drop)
}

impl TaskHandler for MaintainPartitions {
    async fn run(self, context: &TaskContext, run: TaskRun) -> Result<(), TaskError> {
        make_partitions(&context.store).await?;
        context.store.forget_old_runs(REMEMBERED).await?;
        Ok(context.store.finish_task(run).await?)
    }
}
