//! `adtally dead-letters purge`.

use std::io::Write;

use adtally_service::Shutdown;
use adtally_store::{DeadLetterFilter, DeadLetterState, Store};
use anyhow::anyhow;

use super::args::PurgeArgs;
use crate::database;
use crate::numbers::counted;

/// Letters that one statement deletes.
const BATCH: u32 = 1_000;

/// Counts the letters that `args` mean, and deletes them where it was told to.
///
/// # Errors
/// When the database is away. What was deleted is written first.
pub(super) async fn run(
    args: &PurgeArgs,
    stop: &Shutdown,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let store = database::open(&args.database).await?;
    let now = store.clock().await.map_err(database::failure)?;
    for filter in args.filters(now) {
        let state = filter.state.map_or("", DeadLetterState::as_str);
        if args.yes {
            let mut deleted = 0;
            let ended = purge(&store, &filter, stop, &mut deleted).await;
            writeln!(out, "deleted {}, {state}", counted(deleted, "dead letter"))?;
            ended?;
        } else {
            let count = store.dead_letters_left(filter, None).await;
            let count = counted(count.map_err(database::failure)?, "dead letter");
            writeln!(out, "would delete {count}, {state}")?;
        }
    }
    if !args.yes {
        writeln!(out, "nothing is deleted yet: add --yes")?;
    }
    Ok(())
}

async fn purge(
    store: &Store,
    filter: &DeadLetterFilter,
    stop: &Shutdown,
    deleted: &mut u64,
) -> anyhow::Result<()> {
    while !stop.is_requested() {
        let batch = store.purge_dead_letters(filter.clone(), BATCH).await;
        match batch.map_err(database::failure)? {
            0 => return Ok(()),
            more => *deleted += more,
        }
    }
    Err(anyhow!("interrupted; run the command again to go on"))
}
