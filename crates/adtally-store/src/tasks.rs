//! What became of each task.
//!
//! | state | set by | next |
//! |---|---|---|
//! | `running` | [`Store::begin_task`] | any of the others, or `running` again after a crash |
//! | `retrying` | [`Store::fail_task`] | `running` |
//! | `succeeded` | the task's own effect, or [`Store::finish_task`] | `requeued` |
//! | `discarded` | [`Store::fail_task`], or [`Store::give_task_up`] | `requeued` |
//! | `requeued` | [`Store::requeue_task`], or [`Store::requeue_dead_letters`] | `running`, or `requeued` again |

mod list;

use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::{Nullable, Timestamptz};
use diesel::upsert::excluded;
use serde_json::Value;
use uuid::Uuid;

use crate::schema::task_runs::{self, dsl};
use crate::text::{without_nul, without_nul_in};
use crate::{NewDeadLetter, Store, StoreError, dead_letters};
pub use list::{TaskFilter, TaskRecord};

const RUNNING: &str = "running";
const RETRYING: &str = "retrying";
const SUCCEEDED: &str = "succeeded";
const DISCARDED: &str = "discarded";
const REQUEUED: &str = "requeued";
const FINAL: [&str; 2] = [SUCCEEDED, DISCARDED];

/// A run of a task, as its message and its worker describe it.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskRun {
    /// The task's id: its effect happens once.
    pub task_id: Uuid,
    /// The task's name.
    pub name: String,
    /// Its arguments by name, an object.
    pub arguments: Value,
    /// Who runs it.
    pub worker: String,
}

/// Whether a task is to be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskStart {
    /// Run it: this is the attempt with this number, from 1.
    Run {
        /// How often it has been begun, this time included.
        attempt: u32,
    },
    /// It succeeded or was discarded before.
    AlreadyDone,
}

#[derive(Insertable)]
#[diesel(table_name = task_runs)]
struct NewRow<'a> {
    task_id: Uuid,
    name: String,
    arguments: Value,
    worker: &'a str,
    state: &'a str,
    attempts: i32,
}

impl<'a> NewRow<'a> {
    fn of(task: &'a TaskRun, state: &'a str) -> Self {
        Self {
            task_id: task.task_id,
            name: without_nul(&task.name),
            arguments: without_nul_in(&task.arguments),
            worker: task.worker.as_str(),
            state,
            attempts: 1,
        }
    }
}

impl Store {
    /// Notes that a task begins, unless it is done.
    ///
    /// # Errors
    /// The transient ones.
    pub async fn begin_task(&self, task: TaskRun) -> Result<TaskStart, StoreError> {
        self.run(move |conn| Ok(begin(conn, &task)?)).await
    }

    /// Notes that a task succeeded whose effect is not in this database.
    ///
    /// # Errors
    /// The transient ones.
    pub async fn finish_task(&self, task: TaskRun) -> Result<(), StoreError> {
        self.run(move |conn| Ok(succeed(conn, &task)?)).await
    }

    /// Notes that a task failed: for now, or `for_good`.
    ///
    /// # Errors
    /// The transient ones.
    pub async fn fail_task(
        &self,
        task: TaskRun,
        error: String,
        for_good: bool,
    ) -> Result<(), StoreError> {
        let state = if for_good { DISCARDED } else { RETRYING };
        self.run(move |conn| Ok(end(conn, &task, state, Some(&without_nul(&error)))?))
            .await
    }

    /// Notes that a task failed for good and keeps its message, and says how many dead letters are
    /// new. Both happen at once: an operator who sees the letter may put it back, and the task is over then.
    ///
    /// # Errors
    /// The transient ones.
    pub async fn give_task_up(
        &self,
        task: TaskRun,
        error: String,
        letter: NewDeadLetter,
    ) -> Result<u64, StoreError> {
        self.run(move |conn| {
            Ok(conn.transaction(|conn| {
                let new = dead_letters::insert(conn, std::iter::once(&letter))?;
                end(conn, &task, DISCARDED, Some(&without_nul(&error)))?;
                QueryResult::Ok(new.into_values().sum())
            })?)
        })
        .await
    }

    /// Lets a task that is done run once more; false when it runs or waits for its next attempt. Send
    /// its message afterwards. One that was requeued and perhaps not sent may be requeued again.
    ///
    /// # Errors
    /// The transient ones.
    pub async fn requeue_task(&self, task_id: Uuid) -> Result<bool, StoreError> {
        self.run(move |conn| {
            let done = dsl::task_runs
                .find(task_id)
                .filter(dsl::state.eq_any([SUCCEEDED, DISCARDED, REQUEUED]));
            let rows = diesel::update(done)
                .set(dsl::state.eq(REQUEUED))
                .execute(conn)?;
            Ok(rows > 0)
        })
        .await
    }
}

/// A task that was done and may run once more.
pub(crate) struct RequeuedTask {
    pub(crate) task_id: Uuid,
    was: &'static str,
}

/// Lets those of `tasks` that were given up run once more; also those that succeeded, when they are
/// to run `again`.
pub(crate) fn requeue(
    conn: &mut PgConnection,
    mut tasks: Vec<Uuid>,
    again: bool,
) -> QueryResult<Vec<RequeuedTask>> {
    tasks.sort_unstable();
    let mut requeued = Vec::new();
    for was in FINAL.into_iter().filter(|was| again || *was == DISCARDED) {
        let done = dsl::task_runs
            .filter(dsl::task_id.eq_any(&tasks))
            .filter(dsl::state.eq(was));
        let ids: Vec<Uuid> = diesel::update(done)
            .set(dsl::state.eq(REQUEUED))
            .returning(dsl::task_id)
            .get_results(conn)?;
        requeued.extend(ids.into_iter().map(|task_id| RequeuedTask { task_id, was }));
    }
    Ok(requeued)
}

/// Undoes [`requeue`] for one task, in the same transaction.
pub(crate) fn undo_requeue(conn: &mut PgConnection, task: &RequeuedTask) -> QueryResult<()> {
    diesel::update(dsl::task_runs.find(task.task_id))
        .set(dsl::state.eq(task.was))
        .execute(conn)
        .map(drop)
}

fn begin(conn: &mut PgConnection, task: &TaskRun) -> QueryResult<TaskStart> {
    use diesel::query_dsl::methods::FilterDsl;
    let attempts: Option<i32> = diesel::insert_into(dsl::task_runs)
        .values((
            NewRow::of(task, RUNNING),
            dsl::first_started_at.eq(diesel::dsl::now),
            dsl::started_at.eq(diesel::dsl::now),
        ))
        .on_conflict(dsl::task_id)
        .do_update()
        .set((
            dsl::state.eq(RUNNING),
            dsl::attempts.eq(dsl::attempts + 1),
            dsl::started_at.eq(excluded(dsl::started_at)),
            // What an earlier run ended with says nothing of this one.
            dsl::finished_at.eq(None::<DateTime<Utc>>),
            dsl::error.eq(None::<&str>),
            dsl::worker.eq(&task.worker),
        ))
        .filter(dsl::state.ne_all(FINAL))
        .returning(dsl::attempts)
        .get_result(conn)
        .optional()?;
    Ok(match attempts {
        Some(attempts) => TaskStart::Run {
            attempt: u32::try_from(attempts).unwrap_or(1),
        },
        None => TaskStart::AlreadyDone,
    })
}

/// Whether the task is done. Inside a REPEATABLE READ transaction that also calls [`succeed`], two
/// runs of one task cannot both see that it is not.
pub(crate) fn is_done(conn: &mut PgConnection, task: &TaskRun) -> QueryResult<bool> {
    let done = dsl::task_runs
        .find(task.task_id)
        .filter(dsl::state.eq_any(FINAL));
    diesel::select(diesel::dsl::exists(done)).get_result(conn)
}

pub(crate) fn succeed(conn: &mut PgConnection, task: &TaskRun) -> QueryResult<()> {
    end(conn, task, SUCCEEDED, None)
}

fn end(
    conn: &mut PgConnection,
    task: &TaskRun,
    state: &str,
    error: Option<&str>,
) -> QueryResult<()> {
    use diesel::query_dsl::methods::FilterDsl;
    // A task that is to run again has not finished.
    let now = if FINAL.contains(&state) {
        "now()"
    } else {
        "NULL"
    };
    diesel::insert_into(dsl::task_runs)
        .values((
            NewRow::of(task, state),
            dsl::first_started_at.eq(diesel::dsl::now),
            dsl::started_at.eq(diesel::dsl::now),
            dsl::finished_at.eq(sql::<Nullable<Timestamptz>>(now)),
            dsl::error.eq(error),
        ))
        .on_conflict(dsl::task_id)
        .do_update()
        .set((
            dsl::state.eq(state),
            dsl::finished_at.eq(excluded(dsl::finished_at)),
            dsl::worker.eq(&task.worker),
            dsl::error.eq(error),
        ))
        .filter(dsl::state.ne_all(FINAL))
        .execute(conn)
        .map(drop)
}
