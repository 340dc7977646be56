//! `adtally migrate`: the tables, and the reporting zone.

use std::io::Write;

use adtally_service::{DatabaseArgs, ZoneArgs};
use clap::Args;

use crate::database;
use crate::numbers::counted;

const EXAMPLES: &str = "\
Examples:
  adtally migrate
  adtally migrate --timezone Asia/Tehran

Any number of these may run at once. The reporting zone is chosen once for a database: the first
process that asks for one decides, and another zone is refused from then on.";

/// Create or update the tables in PostgreSQL.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub struct MigrateArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    zone: ZoneArgs,
}

/// Migrates the database that `args` name, and writes what was done.
///
/// # Errors
/// When the database is away, a migration fails, or the database belongs to another zone.
pub(crate) async fn run(args: &MigrateArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let asked = args.zone.resolve()?;
    let store = database::open(&args.database).await?;
    let applied = store.migrate().await.map_err(database::failure)?;
    for version in &applied {
        writeln!(out, "applied {version}")?;
    }
    match applied.len() {
        0 => writeln!(out, "the tables are up to date")?,
        count => writeln!(out, "{} applied", counted(count as u64, "migration"))?,
    }
    if asked.is_some() {
        let zone = store.claim_zone(asked).await.map_err(database::failure)?;
        writeln!(out, "the reporting zone is {zone}")?;
    }
    Ok(())
}
