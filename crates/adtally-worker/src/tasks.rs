//! Running tasks: each at most once to its end, retried by way of the broker, never held back.

mod handlers;
mod registry;
mod run;

use std::sync::Arc;

use adtally_broker::{BrokerError, ConsumerSession, Delivery, Publisher, Subscription};
use adtally_domain::ReportingZone;
use adtally_service::Shutdown;
use adtally_store::{Store, StoreError};
use thiserror::Error;
use tokio::task::{JoinError, JoinSet};

use crate::metrics::Metrics;
use crate::session::End;
pub(crate) use handlers::make_partitions;
use registry::Registry;
use run::Runner;

/// What a task works with.
#[derive(Clone)]
pub(crate) struct TaskContext {
    /// The database.
    pub(crate) store: Store,
    /// The way to send further tasks.
    pub(crate) publisher: Publisher,
    /// The connection the tasks come from, to see how many wait.
    pub(crate) connection: Arc<ConsumerSession>,
    /// The queue they wait in.
    pub(crate) tasks_queue: String,
    /// The zone of hours and days.
    pub(crate) zone: ReportingZone,
    /// This worker's name in `task_runs`.
    pub(crate) worker: String,
}

impl TaskContext {
    /// How many tasks wait for a worker.
    pub(crate) async fn waiting_tasks(&self) -> Result<u32, BrokerError> {
        self.connection.queue_depth(&self.tasks_queue).await
    }
}

/// What should happen after a task failed.
#[derive(Debug, Error)]
pub(crate) enum TaskError {
    /// Run it again later, as its retry policy says.
    #[error("{0}")]
    Retry(String),
    /// Never run it again: keep it as a dead letter.
    #[error("{0}")]
    Discard(String),
    /// Leave it on the queue and wait for the database.
    #[error(transparent)]
    Unavailable(StoreError),
}

impl From<StoreError> for TaskError {
    fn from(error: StoreError) -> Self {
        if is_away(&error) {
            Self::Unavailable(error)
        } else {
            Self::Retry(error.to_string())
        }
    }
}

/// Whether the database cannot be used at all, so that everything has to wait for it.
fn is_away(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Unavailable(_)
            | StoreError::AuthenticationFailed(_)
            | StoreError::SchemaMissing
            // The zone was changed: the next session asks for it anew.
            | StoreError::ZoneMismatch { .. }
            | StoreError::SchemaOutdated(_)
    )
}

/// Runs the tasks of the task queue, as many at a time as its prefetch allows.
pub(crate) struct TaskConsumer {
    runner: Arc<Runner>,
}

impl TaskConsumer {
    pub(crate) fn new(context: TaskContext, metrics: Metrics) -> Self {
        let registry = Registry::with_all_tasks();
        Self {
            runner: Arc::new(Runner {
                context,
                metrics,
                registry,
                stop: Shutdown::manual(),
            }),
        }
    }

    /// Runs tasks until `stop`, then finishes those that run.
    pub(crate) async fn run(self, mut subscription: Subscription, stop: Shutdown) -> End {
        let mut running = JoinSet::new();
        let mut failed = Vec::new();
        let end = loop {
            tokio::select! {
                biased;
                () = stop.requested() => break End::Stopped,
                Some(ended) = running.join_next() => if let Some(end) = failure(ended, &mut failed) {
                    break end;
                },
                delivery = subscription.next() => match delivery {
                    Some(Ok(delivery)) => {
                        running.spawn(self.runner.clone().settle(delivery));
                    }
                    Some(Err(error)) => break End::Broker(error.to_string()),
                    None => break End::Broker("the subscription to tasks ended".to_owned()),
                },
            }
        };
        self.runner.stop.trigger();
        let cancelled = subscription.cancel().await;
        while let Some(ended) = running.join_next().await {
            failure(ended, &mut failed);
        }
        if cancelled.is_ok() {
            for delivery in failed {
                if delivery.give_back().await.is_err() {
                    break;
                }
            }
        }
        end
    }
}

/// Why a task could not be settled, and its delivery, which is returned after the subscription is
/// cancelled.
type Unsettled = (End, Option<Delivery>);

fn failure(
    ended: Result<Result<(), Unsettled>, JoinError>,
    failed: &mut Vec<Delivery>,
) -> Option<End> {
    match ended {
        Ok(Ok(())) => None,
        Ok(Err((end, delivery))) => {
            failed.extend(delivery);
            Some(end)
        }
        Err(error) => Some(End::Broker(format!("a task failed: {error}"))),
    }
}
