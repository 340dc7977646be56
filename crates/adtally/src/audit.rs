//! `adtally audit`: whether the totals are what the events add up to, and what is on its way.

mod args;
mod findings;
mod render;
mod spool;

use std::io::Write;

use anyhow::anyhow;

use crate::numbers::counted;
use crate::{database, json};
pub use args::AuditArgs;
pub(crate) use findings::Findings;
use findings::Queued;
pub(crate) use render::render;
use spool::Spooled;

/// Audits what `args` name and writes what it found.
///
/// # Errors
/// When the database is away, a total differs without a mark that says it will be rebuilt, or raw events
/// are gone that should be there.
pub(crate) async fn run(args: &AuditArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let store = database::open(&args.database).await?;
    let zone = database::zone(&store).await?;
    let (from, to) = args.span(zone)?;
    let report = store.audit_between(zone, from, to).await;
    let report = report.map_err(database::failure)?;
    let findings = Findings::of_database(zone, &report)
        .with_queued(Queued::look(&args.broker).await)
        .with_spooled(Spooled::ask(args.api.as_deref()).await);
    if args.json {
        json::write(&findings, out)?;
    } else {
        render(&findings, out)?;
    }
    match findings.mismatches() {
        0 if report.is_clean() => Ok(()),
        0 => Err(anyhow!("raw events are gone that were never dropped")),
        count => Err(anyhow!(
            "{} not what the events add up to, and no roll-up is waiting to correct it",
            match count {
                1 => "1 total is".to_owned(),
                count => format!("{} are", counted(count, "total")),
            }
        )),
    }
}
