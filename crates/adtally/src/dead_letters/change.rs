//! `adtally dead-letters requeue` and `discard`: batch by batch.

use std::io::Write;

use adtally_api::{DeadLetterAction, DeadLetterSweep};
use adtally_service::{Failure, Shutdown};
use adtally_store::{DeadLetterFilter, Store};
use anyhow::anyhow;

use super::tally::Tally;
use crate::numbers::counted;
use crate::{database, progress};

/// Does `action` with the letters of `filter` and writes what became of them.
///
/// # Errors
/// When not everything could be done. What was done is written first.
pub(super) async fn run(
    store: &Store,
    filter: DeadLetterFilter,
    action: &DeadLetterAction,
    stop: &Shutdown,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let mut tally = Tally::default();
    let ended = sweep(store, filter, action, stop, &mut tally).await;
    tally.write(action, out)?;
    ended?;
    match tally.failed() {
        0 => Ok(()),
        failed => Err(anyhow!(
            "{} stayed as before",
            counted(failed, "dead letter")
        )),
    }
}

async fn sweep(
    store: &Store,
    filter: DeadLetterFilter,
    action: &DeadLetterAction,
    stop: &Shutdown,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    let mut sweep = DeadLetterSweep::new(filter, None);
    let count = sweep.left(store).await.map_err(database::failure)?;
    let bar = progress::count(count);
    while !sweep.is_over() {
        // Between batches nothing is half done.
        if stop.is_requested() {
            return Err(anyhow!("interrupted; run the command again to go on"));
        }
        let outcomes = sweep.next(store, action, usize::MAX).await;
        for (id, outcome) in outcomes.map_err(database::failure)? {
            tally.add(id, outcome);
            bar.inc(1);
        }
        if sweep.is_refused() && !sweep.is_over() {
            let message = "the broker took none of the last dead letters: run the command again \
                           once it takes messages";
            return Err(Failure::unavailable(message).into());
        }
    }
    bar.finish_and_clear();
    Ok(())
}
