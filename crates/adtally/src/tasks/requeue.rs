//! `adtally tasks requeue`.

use std::io::Write;

use adtally_api::{DeadLetterAction, DeadLetterOutcome};
use adtally_broker::Publisher;
use adtally_domain::{TaskMessage, event_dead_letter_id};
use adtally_store::{DeadLetterState, Store, TaskFilter, TaskRecord};
use anyhow::anyhow;
use serde_json::Value;
use uuid::Uuid;

use super::args::RequeueArgs;
use crate::numbers::counted;
use crate::{broker, database};

/// The queue of tasks, without the prefix.
const QUEUE: &str = "tasks";

/// Puts the tasks that `args` name back on their queue and writes what became of each.
///
/// # Errors
/// When a server is away, or a task could not be requeued. The others are requeued all the same.
pub(super) async fn run(args: &RequeueArgs, out: &mut impl Write) -> anyhow::Result<()> {
    // Before anything connects: a malformed address is told at once.
    args.broker.resolve()?;
    let store = database::open(&args.database).await?;
    let publisher = broker::publisher(&args.broker).await?;
    let mut failed = 0;
    for id in &args.ids {
        match requeue(&store, &publisher, *id).await {
            Ok(name) => writeln!(out, "requeued {id}, {name}")?,
            Err(error) => {
                failed += 1;
                writeln!(out, "not requeued {id}: {error}")?;
            }
        }
    }
    publisher.close().await;
    match failed {
        0 => Ok(()),
        failed => Err(anyhow!("{} not requeued", counted(failed, "task"))),
    }
}

/// Requeues one task; its name.
async fn requeue(store: &Store, publisher: &Publisher, id: Uuid) -> anyhow::Result<String> {
    let filter = TaskFilter {
        id: Some(id),
        ..TaskFilter::default()
    };
    let found = store.tasks(filter, 1).await?.pop();
    let task = found.ok_or_else(|| anyhow!("there is no such task"))?;
    let name = crate::dead_letters::line(&task.name);
    if requeue_letter(store, publisher, id).await? {
        return Ok(name);
    }
    if !store.requeue_task(id).await? {
        return Err(anyhow!("it is {}, not done", task.state));
    }
    publisher.publish_task(&message(task)).await?;
    Ok(name)
}

/// A task that was given up is in a dead letter, with all that its message said. Whether it was.
async fn requeue_letter(store: &Store, publisher: &Publisher, task: Uuid) -> anyhow::Result<bool> {
    let letter = event_dead_letter_id(&task.to_string(), 0);
    let kept = store.dead_letter(letter).await?;
    if kept.is_none_or(|kept| kept.state == DeadLetterState::Requeued) {
        return Ok(false);
    }
    let action = DeadLetterAction::Requeue {
        publisher: publisher.clone(),
        again: true,
    };
    match action.apply(store, vec![letter]).await?.pop() {
        Some((_, DeadLetterOutcome::Failed(fault))) => Err(fault.into()),
        _ => Ok(true),
    }
}

/// The message of a task, as far as its record tells.
fn message(task: TaskRecord) -> TaskMessage {
    let kwargs = match task.arguments {
        Value::Object(arguments) => arguments,
        _ => serde_json::Map::new(),
    };
    TaskMessage {
        id: task.id,
        name: task.name,
        queue: QUEUE.to_owned(),
        args: Vec::new(),
        kwargs,
        time_limit: None,
    }
}
