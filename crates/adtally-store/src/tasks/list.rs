//! Looking at what became of tasks.

use adtally_domain::Timestamp;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde_json::Value;
use uuid::Uuid;

use crate::schema::task_runs::{self, dsl};
use crate::{Store, StoreError, times};

/// Which tasks are meant: those that everything given applies to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskFilter {
    /// This one.
    pub id: Option<Uuid>,
    /// The task's name.
    pub name: Option<String>,
    /// The name of the state, as the table at the top of this module has it.
    pub state: Option<String>,
}

/// What is known of a task.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskRecord {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Its arguments by name, an object.
    pub arguments: Value,
    /// The name of its state.
    pub state: String,
    /// How often it was begun.
    pub attempts: u32,
    /// When it was last begun.
    pub started_at: Timestamp,
    /// When it was done.
    pub finished_at: Option<Timestamp>,
    /// Who ran it last.
    pub worker: String,
    /// Why it failed last.
    pub error: Option<String>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = task_runs)]
struct Row {
    task_id: Uuid,
    name: String,
    arguments: Value,
    state: String,
    attempts: i32,
    started_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
    worker: String,
    error: Option<String>,
}

impl Store {
    /// At most `limit` of the tasks that `filter` means, those begun last first.
    ///
    /// # Errors
    /// The transient ones.
    pub async fn tasks(
        &self,
        filter: TaskFilter,
        limit: u32,
    ) -> Result<Vec<TaskRecord>, StoreError> {
        self.run(move |conn| {
            let mut query = dsl::task_runs.into_boxed();
            if let Some(id) = filter.id {
                query = query.filter(dsl::task_id.eq(id));
            }
            if let Some(name) = &filter.name {
                query = query.filter(dsl::name.eq(name));
            }
            if let Some(state) = &filter.state {
                query = query.filter(dsl::state.eq(state));
            }
            let rows: Vec<Row> = query
                .order((dsl::started_at.desc(), dsl::task_id))
                .limit(limit.into())
                .select(Row::as_select())
                .load(conn)?;
            Ok(rows.into_iter().map(TaskRecord::from).collect())
        })
        .await
    }
}

impl From<Row> for TaskRecord {
    fn from(row: Row) -> Self {
        Self {
            id: row.task_id,
            name: row.name,
            arguments: row.arguments,
            state: row.state,
            attempts: u32::try_from(row.attempts).unwrap_or(0),
            started_at: times::timestamp(row.started_at),
            finished_at: row.finished_at.map(times::timestamp),
            worker: row.worker,
            error: row.error,
        }
    }
}
