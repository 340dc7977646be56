//! Consumers that run side by side and stop together.

use std::pin::Pin;
use std::time::Duration;

use adtally_service::Shutdown;
use tokio::task::{JoinError, JoinSet};

use crate::stop_reason::StopReason;

/// How long consumers may take to finish what they have begun. Whatever stops a worker (systemd,
/// Kubernetes, `adtally dev`) waits somewhat longer before it kills.
const DRAIN: Duration = Duration::from_secs(25);

/// One consumer: runs until it is told to stop or cannot go on, then finishes what it has begun.
pub(crate) type Consumer = Pin<Box<dyn Future<Output = StopReason> + Send>>;

/// The running consumers of one session.
pub(crate) struct Consumers {
    running: JoinSet<StopReason>,
    stop: Shutdown,
}

impl Consumers {
    /// Starts them. Every one of them stops at `stop`.
    pub(crate) fn start(consumers: Vec<Consumer>, stop: Shutdown) -> Self {
        Self {
            running: consumers.into_iter().collect(),
            stop,
        }
    }

    /// Waits until one of them has stopped; for ever when there is none.
    pub(crate) async fn first_stopped(&mut self) -> StopReason {
        match self.running.join_next().await {
            Some(joined) => reason_of(joined),
            None => std::future::pending().await,
        }
    }

    /// Stops all of them because of `reason`. Returns the reason that counts.
    pub(crate) async fn stop(mut self, mut reason: StopReason) -> StopReason {
        self.stop.trigger();
        let all = async {
            while let Some(joined) = self.running.join_next().await {
                let first = std::mem::replace(&mut reason, StopReason::Requested);
                reason = first.or(reason_of(joined));
            }
        };
        if tokio::time::timeout(DRAIN, all).await.is_err() {
            let seconds = DRAIN.as_secs();
            log::warn!("not everything was done within {seconds} s; it is delivered again");
            self.running.shutdown().await;
        }
        reason
    }
}

fn reason_of(joined: Result<StopReason, JoinError>) -> StopReason {
    joined.unwrap_or_else(|error| {
        log::error!("a consumer failed: {error}");
        StopReason::Broker(format!("a consumer failed: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goes on until it is told to stop.
    fn patient(stop: &Shutdown) -> Consumer {
        let stop = stop.clone();
        Box::pin(async move {
            stop.requested().await;
            StopReason::Requested
        })
    }

    #[tokio::test]
    async fn one_consumer_that_cannot_go_on_stops_all_the_others() {
        let stop = Shutdown::manual();
        let lost: Consumer = Box::pin(async { StopReason::Broker("lost".to_owned()) });
        let consumers = vec![patient(&stop), lost, patient(&stop)];
        let mut consumers = Consumers::start(consumers, stop);
        let first = consumers.first_stopped().await;
        let reason = consumers.stop(first).await;
        assert!(matches!(reason, StopReason::Broker(lost) if lost == "lost"));
    }

    #[tokio::test]
    async fn a_panic_of_one_consumer_ends_the_session_and_not_the_worker() {
        let stop = Shutdown::manual();
        let faulty: Consumer = Box::pin(async { panic!("a fault in a consumer") });
        let mut consumers = Consumers::start(vec![patient(&stop), faulty], stop);
        let first = consumers.first_stopped().await;
        assert!(matches!(first, StopReason::Broker(_)), "{first:?}");
        consumers.stop(first).await;
    }
}
