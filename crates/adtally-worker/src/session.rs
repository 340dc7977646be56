//! One connection to the broker: everything that consumes on it, and how that ends.

use std::sync::Arc;
use std::time::Duration;

use adtally_broker::{ConsumerSession, Subscription};
use adtally_domain::ReportingZone;
use adtally_service::{Check, Shutdown};
use adtally_store::{Store, StoreError};
use tokio::task::JoinSet;

use crate::events::{EventConsumer, Full, Notice, Spares, Stalled};
use crate::tasks::{TaskConsumer, TaskContext};
use crate::worker::{Checks, Worker};

/// How long what is in hand may take to come to its end. Whoever stops a worker waits somewhat
/// longer before it is killed; what is not done by then is delivered again.
const DRAIN: Duration = Duration::from_secs(25);
/// How often the database is asked whether it is there. A worker without messages would not notice.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long it may take to answer.
const LOOK_LIMIT: Duration = Duration::from_secs(10);

/// Why a consumer, or a whole session, ended.
#[derive(Debug)]
pub(crate) enum End {
    /// It was asked to.
    Stopped,
    /// The connection or a subscription ended.
    Broker(String),
    /// The database went away, or refuses to store, perhaps this batch.
    Database(StoreError, Option<Stalled>),
}

impl End {
    /// Of two ends of one session the first counts: the other follows from it. Only a batch that the
    /// database refused is remembered whenever it shows.
    pub(crate) fn or(self, later: Self) -> Self {
        match (self, later) {
            (Self::Broker(_) | Self::Database(_, None), later @ Self::Database(_, Some(_))) => {
                later
            }
            (first, _) => first,
        }
    }
}

/// A queue that may hold events.
pub(crate) struct EventQueue {
    pub(crate) subscription: Subscription,
    /// What a batch takes at most.
    pub(crate) full: Full,
    /// Nothing stands behind this queue: what is refused there is gone.
    pub(crate) is_last: bool,
    /// A backlog of it leaves room for others.
    pub(crate) gives_way: bool,
}

/// One connection and its subscriptions.
pub(crate) struct Session {
    pub(crate) connection: Arc<ConsumerSession>,
    pub(crate) events: Vec<EventQueue>,
    pub(crate) tasks: Subscription,
}

impl Session {
    /// Consumes until `shutdown`, until one of the consumers ends or the database is gone; then all
    /// of them finish what they have begun.
    pub(crate) async fn work(
        self,
        worker: &Worker,
        zone: ReportingZone,
        checks: &Checks,
        shutdown: &Shutdown,
    ) -> End {
        checks.broker.ready();
        let stop = Shutdown::manual();
        let connection = self.connection.clone();
        let mut consumers = self.start(worker, zone, &checks.packs, &stop);
        let mut end = tokio::select! {
            () = shutdown.requested() => End::Stopped,
            Some(ended) = consumers.join_next() => end_of(ended),
            error = database_loss(&worker.store, &checks.database) => End::Database(error, None),
        };
        checks.tell(&end);
        stop.trigger();
        let rest = async {
            while let Some(ended) = consumers.join_next().await {
                end = std::mem::replace(&mut end, End::Stopped).or(end_of(ended));
            }
        };
        if tokio::time::timeout(DRAIN, rest).await.is_err() {
            let seconds = DRAIN.as_secs();
            log::warn!("not everything was done within {seconds} s; it is delivered again");
            consumers.shutdown().await;
        }
        connection.close().await;
        end
    }

    fn start(
        self,
        worker: &Worker,
        zone: ReportingZone,
        packs: &Check,
        stop: &Shutdown,
    ) -> JoinSet<End> {
        let notice = Notice::new(packs.clone());
        let mut consumers = JoinSet::new();
        for queue in self.events {
            let consumer = EventConsumer {
                store: worker.store.clone(),
                publisher: worker.publisher.clone(),
                zone,
                metrics: worker.metrics.clone(),
                notice: notice.clone(),
                is_last: queue.is_last,
                at_once: if queue.is_last {
                    1
                } else {
                    worker.store_connections
                },
                full: queue.full,
                gives_way: queue.gives_way,
                stop: stop.clone(),
                spares: Spares::default(),
            };
            consumers.spawn(Arc::new(consumer).run(queue.subscription));
        }
        let context = TaskContext {
            store: worker.store.clone(),
            publisher: worker.publisher.clone(),
            connection: self.connection,
            tasks_queue: worker.broker.topology().tasks_queue(),
            zone,
            worker: worker.name.clone(),
        };
        let tasks = TaskConsumer::new(context, worker.metrics.clone());
        consumers.spawn(tasks.run(self.tasks, stop.clone()));
        consumers
    }
}

/// Returns once the database has failed to answer twice in a row.
async fn database_loss(store: &Store, check: &Check) -> StoreError {
    let mut missed_before = false;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let looked = tokio::time::timeout(LOOK_LIMIT, store.ping()).await;
        let error = match looked {
            // That one connection ended says nothing of the database, which answered over another.
            Ok(Ok(()) | Err(StoreError::ConnectionLost(_))) => {
                missed_before = false;
                check.ready();
                continue;
            }
            Ok(Err(error)) => error,
            Err(_) => {
                let seconds = LOOK_LIMIT.as_secs();
                StoreError::Unavailable(format!("no answer within {seconds} s"))
            }
        };
        if missed_before {
            return error;
        }
        check.not_ready(error.to_string());
        missed_before = true;
    }
}

fn end_of(ended: Result<End, tokio::task::JoinError>) -> End {
    ended.unwrap_or_else(|error| {
        log::error!("a consumer failed: {error}");
        End::Broker(format!("a consumer failed: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use adtally_store::EventBatch;

    use super::*;

    #[test]
    fn the_first_end_counts_but_a_refused_batch_is_never_forgotten() {
        let away = || StoreError::Unavailable("away".to_owned());
        let refused = || End::Database(away(), Some(Stalled::new(Arc::new(EventBatch::default()))));
        let lost = || End::Broker("lost".to_owned());
        assert!(matches!(End::Stopped.or(refused()), End::Stopped));
        assert!(matches!(lost().or(End::Stopped), End::Broker(_)));
        assert!(matches!(
            lost().or(End::Database(away(), None)),
            End::Broker(_)
        ));
        assert!(matches!(lost().or(refused()), End::Database(_, Some(_))));
        let gone = End::Database(away(), None);
        assert!(matches!(gone.or(refused()), End::Database(_, Some(_))));
        assert!(matches!(refused().or(lost()), End::Database(_, Some(_))));
    }
}
