//! `adtally tasks list`.

use std::io::Write;

use adtally_domain::{ReportingZone, Timestamp};
use adtally_store::{TaskFilter, TaskRecord};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::args::{ListArgs, State};
use crate::dead_letters::line;
use crate::tables::{table, text};
use crate::{database, json};

/// Characters of an error that fit a row.
const ERROR: usize = 60;

/// A task as scripts read it.
#[derive(Serialize)]
struct Record {
    id: Uuid,
    name: String,
    arguments: Value,
    state: String,
    attempts: u32,
    started_at: String,
    finished_at: Option<String>,
    worker: String,
    error: Option<String>,
}

#[derive(Serialize)]
struct Listed {
    data: Vec<Record>,
}

/// Lists what `args` ask for.
///
/// # Errors
/// When the database is away.
pub(super) async fn run(args: &ListArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let store = database::open(&args.database).await?;
    let filter = TaskFilter {
        id: None,
        name: args.name.clone(),
        state: args.state.map(State::as_str).map(str::to_owned),
    };
    let tasks = store.tasks(filter, args.limit).await;
    let tasks = tasks.map_err(database::failure)?;
    if args.json {
        let data = tasks.into_iter().map(Record::from).collect();
        return json::write(&Listed { data }, out);
    }
    if tasks.is_empty() {
        writeln!(out, "no tasks")?;
        return Ok(());
    }
    let zone = database::zone(&store).await?;
    let titles = [
        "id",
        "begun",
        "state",
        "#runs",
        "name",
        "arguments",
        "error",
    ];
    let mut shown = table(&titles);
    for task in &tasks {
        shown.add_row(cells(task, zone));
    }
    out.write_all(text(&shown).as_bytes())?;
    Ok(())
}

fn cells(task: &TaskRecord, zone: ReportingZone) -> [String; 7] {
    let error = line(task.error.as_deref().unwrap_or_default());
    [
        task.id.to_string(),
        zone.local(task.started_at).to_rfc3339(),
        task.state.clone(),
        task.attempts.to_string(),
        line(&task.name),
        line(&task.arguments.to_string()),
        error.chars().take(ERROR).collect(),
    ]
}

impl From<TaskRecord> for Record {
    fn from(task: TaskRecord) -> Self {
        let time = |time: Timestamp| time.to_datetime().to_rfc3339();
        Self {
            id: task.id,
            name: task.name,
            arguments: task.arguments,
            state: task.state,
            attempts: task.attempts,
            started_at: time(task.started_at),
            finished_at: task.finished_at.map(time),
            worker: task.worker,
            error: task.error,
        }
    }
}
