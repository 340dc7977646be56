//! One task, from its message to what became of it.

use std::sync::Arc;
use std::time::Duration;

use adtally_broker::Delivery;
use adtally_domain::DeadLetterReason;
use adtally_service::{Shutdown, clock};
use adtally_store::{NewDeadLetter, StoreError, TaskRun, TaskStart};
use adtally_wire::celery::TaskCall;
use serde_json::Value;
use tokio::task::JoinSet;

use super::handler::{TaskContext, TaskError, is_away};
use super::registry::{Registered, Registry};
use crate::dead_letters::letter_of_message;
use crate::metrics::Metrics;
use crate::publish::publish_until_accepted;
use crate::stop_reason::{StopReason, Unacked};

/// The wait of a task that the database answers but takes no note of. That is no attempt, and no
/// failure that the broker counts.
const PUT_OFF: Duration = Duration::from_secs(30);

/// Handles the deliveries of the task queue.
pub(super) struct Runner {
    pub(super) context: TaskContext,
    pub(super) metrics: Metrics,
    pub(super) registry: Registry,
    /// The wish to stop: what runs may finish, what waits to be sent is requeued.
    pub(super) stop: Shutdown,
}

/// What to do with a delivery once its task ran, or need not run.
enum Resolution {
    /// The task is done, now or before.
    Done(&'static str),
    /// Send the call again after the delay.
    Republish(Box<TaskCall>, Duration, &'static str),
    /// Keep the message as a dead letter, and never run the task again.
    DeadLetter {
        reason: DeadLetterReason,
        detail: String,
        run: Option<TaskRun>,
    },
}

impl Runner {
    /// Runs the task of `delivery`, and acknowledges it once its end, its next attempt or its dead letter
    /// is safe.
    pub(super) async fn handle(self: Arc<Self>, delivery: Delivery) -> Result<(), Unacked> {
        let (name, outcome) = match delivery.task() {
            Ok(call) => (
                self.known_name(&call),
                self.handle_task(call, &delivery).await,
            ),
            Err(error) => {
                let resolution = Resolution::DeadLetter {
                    reason: DeadLetterReason::MalformedTask,
                    detail: error.to_string(),
                    run: None,
                };
                ("unknown", self.carry_out(resolution, &delivery).await)
            }
        };
        match outcome {
            Ok(outcome) => {
                self.metrics.count_task(name, outcome);
                delivery.ack().await.map_err(Unacked::from)
            }
            Err(reason) => Err(Unacked::new(reason, vec![delivery])),
        }
    }

    async fn handle_task(
        &self,
        call: TaskCall,
        delivery: &Delivery,
    ) -> Result<&'static str, StopReason> {
        let handled = match self.resolve(call.clone()).await {
            Ok(resolution) => self.carry_out(resolution, delivery).await,
            Err(error) => Err(error.into()),
        };
        match handled {
            Err(StopReason::Database(error, _)) if !is_away(&error) => {
                log::warn!("{} {} is put off: {error}", call.name(), call.id());
                let put_off = Resolution::Republish(Box::new(call), PUT_OFF, "put_off");
                self.carry_out(put_off, delivery).await
            }
            handled => handled,
        }
    }

    /// Names of unknown tasks come from outside: as labels they would grow without bound.
    fn known_name(&self, call: &TaskCall) -> &'static str {
        self.registry
            .get(call.name())
            .map_or("unknown", |task| task.name)
    }

    /// Runs the task if it is due and was not done before.
    async fn resolve(&self, call: TaskCall) -> Result<Resolution, StoreError> {
        let now = clock::now();
        if call.expires().is_some_and(|expires| expires < now) {
            return Ok(Resolution::Done("expired"));
        }
        if let Some(wait) = call.eta().and_then(|eta| (eta - now).to_std().ok()) {
            return Ok(Resolution::Republish(Box::new(call), wait, "waiting"));
        }
        let Some(task) = self.registry.get(call.name()) else {
            let detail = format!("there is no task {:?}", call.name());
            return Ok(Resolution::DeadLetter {
                reason: DeadLetterReason::UnknownTask,
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
            TaskStart::AlreadyDone => Ok(Resolution::Done("repeated")),
            TaskStart::Run { .. } => self.run(task, call, run).await,
        }
    }

    async fn run(
        &self,
        task: Registered,
        call: TaskCall,
        run: TaskRun,
    ) -> Result<Resolution, StoreError> {
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
        let result = within(limit, work).await;
        timer.observe_duration();
        match result {
            Ok(()) => Ok(Resolution::Done("succeeded")),
            Err(TaskError::Unavailable(error)) => Err(error),
            Err(TaskError::Retry(error)) => self.retry(task, call, run, error).await,
            Err(TaskError::Discard(error)) => Ok(give_up(run, DeadLetterReason::Discarded, error)),
        }
    }

    async fn retry(
        &self,
        task: Registered,
        call: TaskCall,
        run: TaskRun,
        error: String,
    ) -> Result<Resolution, StoreError> {
        let next = call.next_attempt();
        match task.retry.delay_after(next.retries(), rand::random()) {
            Some(delay) => {
                log::warn!(
                    "{} {} failed: {error}; again in {delay:.1?}",
                    next.name(),
                    next.id()
                );
                self.context.store.fail_task(run, error, false).await?;
                Ok(Resolution::Republish(Box::new(next), delay, "retried"))
            }
            None => Ok(give_up(run, DeadLetterReason::MaxAttempts, error)),
        }
    }

    async fn carry_out(
        &self,
        resolution: Resolution,
        delivery: &Delivery,
    ) -> Result<&'static str, StopReason> {
        match resolution {
            Resolution::Done(outcome) => Ok(outcome),
            Resolution::Republish(call, delay, outcome) => {
                let publisher = &self.context.publisher;
                let send = || publisher.publish_task_after(&call, delay);
                let sent = publish_until_accepted(&self.stop, send).await;
                sent.map_err(|error| {
                    StopReason::Broker(format!("a task cannot be sent: {error}"))
                })?;
                Ok(outcome)
            }
            Resolution::DeadLetter {
                reason,
                detail,
                run,
            } => {
                let letter = letter_of_message(delivery, reason, &detail);
                self.store_dead_letter(letter, run, detail).await?;
                Ok("dead")
            }
        }
    }

    async fn store_dead_letter(
        &self,
        letter: NewDeadLetter,
        run: Option<TaskRun>,
        detail: String,
    ) -> Result<(), StopReason> {
        let store = &self.context.store;
        let reason = letter.reason;
        let new = match run {
            Some(run) => store.give_task_up(run, detail, letter).await,
            None => store.insert_dead_letters(vec![letter]).await,
        };
        self.metrics.count_letters(reason, new?);
        Ok(())
    }
}

/// What `work` came to within `limit`. A panic is its own failure: it must not end the session, with
/// the messages that others have in hand.
async fn within(
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

fn give_up(run: TaskRun, reason: DeadLetterReason, detail: String) -> Resolution {
    log::error!(
        "{} {} is given up ({reason}): {detail}",
        run.name,
        run.task_id
    );
    Resolution::DeadLetter {
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
        assert!(within(second, async { Ok(()) }).await.is_ok());
        let panicked = within(second, async { panic!("a fault in a task") }).await;
        assert!(matches!(panicked, Err(TaskError::Retry(_))), "{panicked:?}");
        let slow = within(Duration::from_millis(1), std::future::pending()).await;
        let Err(TaskError::Retry(reason)) = slow else {
            panic!("{slow:?}");
        };
        assert_eq!(reason, "not done within 0.001 s");
    }
}
