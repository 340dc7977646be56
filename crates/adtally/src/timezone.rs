//! `adtally timezone`: the reporting zone, and another one in its place.

use std::io::Write;

use adtally_domain::ReportingZone;
use adtally_service::{DatabaseArgs, switch};
use adtally_store::ZoneChange;
use clap::Args;

use crate::database;
use crate::numbers::counted;

const EXAMPLES: &str = "\
Examples:
  adtally timezone set Asia/Tehran --dry-run
  adtally timezone set Asia/Tehran

Hours and days of another zone are other hours and days, so all totals are made anew from raw events: they
are marked, counted live by whoever asks, and rolled up by workers that report in the new zone. Refused
where raw events are gone or were dropped. Restatements keep the buckets of the zone before.";

/// Report in another time zone.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub struct TimezoneArgs {
    #[command(subcommand)]
    command: Subcommand,
}

#[derive(Debug, Clone, clap::Subcommand)]
enum Subcommand {
    /// Change the zone and make all totals anew from raw events
    Set(SetArgs),
}

#[derive(Debug, Clone, Args)]
struct SetArgs {
    /// The zone's IANA name, such as Asia/Tehran
    #[arg(value_name = "ZONE")]
    zone: ReportingZone,
    /// Only say what that would come to
    #[arg(long, env = "ADTALLY_TIMEZONE_DRY_RUN", value_parser = switch)]
    dry_run: bool,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// Does what `args` say and writes what came of it.
///
/// # Errors
/// When the database is away, or raw events are gone.
pub(crate) async fn run(args: &TimezoneArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let Subcommand::Set(args) = &args.command;
    let store = database::open(&args.database).await?;
    let change = store.change_zone(args.zone, args.dry_run).await;
    tell(args, &change.map_err(database::failure)?, out)
}

fn tell(args: &SetArgs, change: &ZoneChange, out: &mut impl Write) -> anyhow::Result<()> {
    let (zone, before) = (args.zone, change.before);
    if zone == before {
        writeln!(out, "the reporting zone is {zone} already")?;
        return Ok(());
    }
    let both = format!(
        "{} in {}",
        counted(change.hours, "hour"),
        counted(change.days, "day")
    );
    if args.dry_run {
        writeln!(
            out,
            "would report in {zone} instead of {before} and make {both} anew"
        )?;
    } else {
        writeln!(
            out,
            "the reporting zone is {zone}, no longer {before}; {both} are marked"
        )?;
    }
    writeln!(
        out,
        "every API, worker and beat must be restarted, without --timezone or with {zone}"
    )?;
    for client in &change.clients {
        let address = client.address.as_deref().unwrap_or("this machine");
        let connections = u64::try_from(client.connections).unwrap_or(0);
        let connections = counted(connections, "connection");
        writeln!(out, "  {} at {address} ({connections})", client.name)?;
    }
    Ok(())
}
