//! One task, from its message to what became of it.

use std::sync::Arc;
use std::time::Duration;

use adtally_broker::Delivery;
use adtally_service::{Shutdown, clock};
use adtally_store::{NewDeadLetter, StoreError, TaskRun, TaskStart};
use adtally_wire::celery::TaskCall;
use serde_json::Value;
use tokio::task::JoinSet;

use super::registry::{Registered, Registry};
use super::{TaskContext, TaskError, Unsettled, is_away};
use crate::events::letter_of_message;
use crate::metrics::Metrics;
use crate::patience::insist;
use crate::session::End;

/// The wait of a task that the database answers but takes no note of. That is no attempt, and no
/// failure that the broker counts.
const PUT_OFF: Duration = Duration::from_secs(30);

/// Settles the deliveries of the task queue.
pub(super) struct Runner {
    pub(super) context: TaskContext,
    pub(super) metrics: Metrics,
    pub(super) registry: Registry,
    /// The wish to end: what runs may finish, what waits to be sent is given back.
    pub(super) stop: Shutdown,
}

/// What a delivery comes to.
enum Verdict {
    /// The task is done, now or before.
    Done(&'static str),
    /// Send the call again after the delay.
    Later(Box<TaskCall>, Duration, &'static str),
    /// Keep the message as a dead letter, and never run the task again.
    Dead {
        reason: &'static str,
        detail: String,
        run: Option<TaskRun>,
    },
}

impl Runner {
    /// Runs the task of `delivery` and settles it: acknowledged once its end, its next attempt or
    /// its dead letter is safe.
    pub(super) async fn settle(self: Arc<Self>, delivery: Delivery) -> Result<(), Unsettled> {
        let (name, outcome) = match delivery.task() {
            Ok(call) => (
                self.known_name(&call),
                self.settle_task(call, &delivery).await,
            ),
            Err(error) => {
                let verdict = Verdict::Dead {
                    reason: "malformed_task",
                    detail: error.to_string(),
                    run: None,
                };
                ("unknown", self.carry_out(verdict, &delivery).await)
            }
        };
        match outcome {
            Ok(outcome) => {
                self.metrics.count_task(name, outcome);
                let acked = delivery.ack().await;
                acked.map_err(|error| (End::Broker(error.to_string()), None))
            }
            Err(end) => Err((end, Some(delivery))),
        }
    }

    async fn settle_task(&self, call: TaskCall, delivery: &Delivery) -> Result<&'static str, End> {
        let judged = self.judge(call.clone()).await;
        let settled = match judged.map_err(database) {
            Ok(verdict) => self.carry_out(verdict, delivery).await,
            Err(end) => Err(end),
        };
        match settled {
            Err(End::Database(error, _)) if !is_away(&error) => {
                log::warn!("{} {} is put off: {error}", call.name(), call.id());
                let put_off = Verdict::Later(Box::new(call), PUT_OFF, "put_off");
                self.carry_out(put_off, delivery).await
            }
            settled => settled,
        }
    }

    /// Names of unknown tasks come from outside: as labels they would grow without bound.
    fn known_name(&self, call: &TaskCall) -> &'static str {
        self.registry
            .get(call.name())
            .map_or("unknown", |task| task.name)
    }

    async fn judge(&self, call: TaskCall) -> Result<Verdict, StoreError> {
        let now = clock::now();
        if call.expires().is_some_and(|expires| expires < now) {
            return Ok(Verdict::Done("expired"));
        }
        if let Some(wait) = call.eta().and_then(|eta| (eta - now).to_std().ok()) {
            return Ok(Verdict::Later(Box::new(call), wait, "waiting"));
        }
        let Some(task) = self.registry.get(call.name()) else {
            let detail = format!("there is no task {:?}", call.name());
            return Ok(Verdict::Dead {
                reason: "unknown_task",
                detail,
                run: None,
            });
        };
        let run = TaskRun {
            task_id: call.id(),
            name: call.name().to_owned(),
            arguments: Value::Object(task.arguments_of(call.message())),
            worker: self.context.worker.clone(),
        };
        match self.context.store.begin_task(run.clone()).await? {
            TaskStart::AlreadyDone => Ok(Verdict::Done("repeated")),
            TaskStart::Run { .. } => self.run(task, call, run).await,
        }
    }

    async fn run(
        &self,
        task: Registered,
        call: TaskCall,
        run: TaskRun,
    ) -> Result<Verdict, StoreError> {
        let limit = call
            .message()
            .time_limit
            .map_or(task.time_limit, |limit| limit.min(task.time_limit));
        let timer = self
            .metrics
            .task_seconds
            .with_label_values(&[call.name()])
            .start_timer();
        let work = task.start(self.context.clone(), call.message().clone(), run.clone());
        let result = bounded(limit, work).await;
        timer.observe_duration();
        match result {
            Ok(()) => Ok(Verdict::Done("succeeded")),
            Err(TaskError::Unavailable(error)) => Err(error),
            Err(TaskError::Retry(error)) => self.again(task, call, run, error).await,
            Err(TaskError::Discard(error)) => Ok(give_up(run, "discarded", error)),
        }
    }

    async fn again(
        &self,
        task: Registered,
        call: TaskCall,
        run: TaskRun,
        error: String,
    ) -> Result<Verdict, StoreError> {
        let next = call.next_attempt();
        match task.retry.delay_after(next.retries(), rand::random()) {
            Some(delay) => {
                log::warn!(
                    "{} {} failed: {error}; again in {delay:.1?}",
                    next.name(),
                    next.id()
                );
                self.context.store.fail_task(run, error, false).await?;
                Ok(Verdict::Later(Box::new(next), delay, "retried"))
            }
            None => Ok(give_up(run, "max_attempts", error)),
        }
    }

    async fn carry_out(&self, verdict: Verdict, delivery: &Delivery) -> Result<&'static str, End> {
        match verdict {
            Verdict::Done(outcome) => Ok(outcome),
            Verdict::Later(call, delay, outcome) => {
                let publisher = &self.context.publisher;
                let send = || publisher.publish_task_after(&call, delay);
                let sent = insist(&self.stop, send).await;
                sent.map_err(|error| End::Broker(format!("a task cannot be sent: {error}")))?;
                Ok(outcome)
            }
            Verdict::Dead {
                reason,
                detail,
                run,
            } => {
                let letter = letter_of_message(delivery, reason, &detail);
                self.keep(letter, run, detail).await?;
                Ok("dead")
            }
        }
    }

    async fn keep(
        &self,
        letter: NewDeadLetter,
        run: Option<TaskRun>,
        detail: String,
    ) -> Result<(), End> {
        let store = &self.context.store;
        let reason = letter.reason.clone();
        let new = match run {
            Some(run) => store.give_task_up(run, detail, letter).await,
            None => store.insert_dead_letters(vec![letter]).await,
        };
        self.metrics.count_letters(&reason, new.map_err(database)?);
        Ok(())
    }
}

/// What `work` came to within `limit`. A panic is its own failure: it must not end the session, with
/// the messages that others have in hand.
async fn bounded(
    limit: Duration,
    work: impl Future<Output = Result<(), TaskError>> + Send + 'static,
) -> Result<(), TaskError> {
    // Dropped at the limit, the set ends the work.
    let mut one = JoinSet::new();
    one.spawn(work);
    match tokio::time::timeout(limit, one.join_next()).await {
        Ok(Some(Ok(result))) => result,
        Ok(Some(Err(error))) => Err(TaskError::Retry(format!("it failed badly: {error}"))),
        Ok(None) => Ok(()),
        Err(_) => {
            let seconds = limit.as_secs_f32();
            Err(TaskError::Retry(format!("not done within {seconds} s")))
        }
    }
}

fn database(error: StoreError) -> End {
    End::Database(error, None)
}

fn give_up(run: TaskRun, reason: &'static str, detail: String) -> Verdict {
    log::error!(
        "{} {} is given up ({reason}): {detail}",
        run.name,
        run.task_id
    );
    Verdict::Dead {
        reason,
        detail,
        run: Some(run),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_or_takes_too_long_is_to_be_retried() {
        let second = Duration::from_secs(1);
        assert!(bounded(second, async { Ok(()) }).await.is_ok());
        let panicked = bounded(second, async { panic!("a fault in a task") }).await;
        assert!(matches!(panicked, Err(TaskError::Retry(_))), "{panicked:?}");
        let slow = bounded(Duration::from_millis(1), std::future::pending()).await;
        let Err(TaskError::Retry(reason)) = slow else {
            panic!("{slow:?}");
        };
        assert_eq!(reason, "not done within 0.001 s");
    }
}
