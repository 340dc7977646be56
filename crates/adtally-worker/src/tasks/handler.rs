//! What a task is to the worker: its work, and what that works with.

use std::sync::Arc;

use adtally_broker::{BrokerError, ConsumerSession, Publisher};
use adtally_domain::{ReportingZone, Task};
use adtally_store::{Store, StoreError, TaskRun};
use thiserror::Error;

/// The work behind a task's payload.
pub(super) trait TaskHandler: Task + Send + 'static {
    /// Does the work. Doing it again must be harmless: a worker may end before it can say that it
    /// is done.
    fn run(
        self,
        context: &TaskContext,
        run: TaskRun,
    ) -> impl Future<Output = Result<(), TaskError>> + Send;
}

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
pub(super) fn is_away(error: &StoreError) -> bool {
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
