//! Running tasks: each at most once to its end, retried by way of the broker, never held back.

mod handler;
mod handlers;
mod registry;
mod run;

use std::sync::Arc;

use adtally_broker::{Delivery, Subscription};
use adtally_service::Shutdown;
use tokio::task::{JoinError, JoinSet};

use crate::metrics::Metrics;
use crate::stop_reason::{StopReason, Unacked};
pub(crate) use handler::TaskContext;
pub(crate) use handlers::make_partitions;
use run::Runner;

/// Runs the tasks of the task queue, as many at a time as its prefetch allows.
pub(crate) struct TaskConsumer {
    runner: Arc<Runner>,
}

impl TaskConsumer {
    pub(crate) fn new(context: TaskContext, metrics: Metrics) -> Self {
        Self {
            runner: Arc::new(Runner {
                context,
                metrics,
                registry: handlers::registry(),
                stop: Shutdown::manual(),
            }),
        }
    }

    /// Runs tasks until `stop`, then finishes those that run.
    pub(crate) async fn run(self, mut subscription: Subscription, stop: Shutdown) -> StopReason {
        let mut running = JoinSet::new();
        let mut failed = Vec::new();
        let reason = loop {
            tokio::select! {
                biased;
                () = stop.requested() => break StopReason::Requested,
                Some(ended) = running.join_next() => {
                    if let Some(reason) = failure(ended, &mut failed) {
                        break reason;
                    }
                }
                delivery = subscription.next() => match delivery {
                    Some(Ok(delivery)) => {
                        running.spawn(self.runner.clone().handle(delivery));
                    }
                    Some(Err(error)) => break error.into(),
                    None => {
                        let trouble = "the subscription to tasks ended";
                        break StopReason::Broker(trouble.to_owned());
                    }
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
        reason
    }
}

/// Why the consumer must stop because of a task that has ended, if it must. Its delivery joins `failed`.
fn failure(
    ended: Result<Result<(), Unacked>, JoinError>,
    failed: &mut Vec<Delivery>,
) -> Option<StopReason> {
    match ended {
        Ok(Ok(())) => None,
        Ok(Err(unacked)) => {
            failed.extend(unacked.deliveries);
            Some(unacked.reason)
        }
        Err(error) => Some(StopReason::Broker(format!("a task failed: {error}"))),
    }
}
