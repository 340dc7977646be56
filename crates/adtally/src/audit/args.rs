//! The flags of `adtally audit`.

use adtally_domain::{ReportingZone, Timestamp};
use adtally_service::{BrokerArgs, DatabaseArgs, Failure, switch};
use clap::Args;

use crate::stats::instant;

const EXAMPLES: &str = "\
Examples:
  adtally audit
  adtally audit --from 2026-11-22
  adtally audit --json --amqp-url amqp://127.0.0.1 --api http://127.0.0.1:8080

In one snapshot of the database, each hour that is over is compared with its raw events and each day with
its hours. Hours and days that wait for a roll-up are pending, which is no fault. Exits with 1 only when a
total differs that no roll-up is waiting to correct, or when raw events are gone that were never dropped
with `adtally partitions drop`.";

/// Check that hourly totals equal raw events and daily totals equal hourly ones.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub struct AuditArgs {
    #[command(flatten)]
    pub(super) database: DatabaseArgs,
    #[command(flatten)]
    pub(super) broker: BrokerArgs,
    /// Only hours and days from this time on [default: all that have their raw events]
    #[arg(long, env = "ADTALLY_AUDIT_FROM", value_name = "TIME")]
    from: Option<String>,
    /// Only hours and days that begin before this time [default: now]
    #[arg(long, env = "ADTALLY_AUDIT_TO", value_name = "TIME")]
    to: Option<String>,
    /// An API whose spool to look at, too
    #[arg(long, env = "ADTALLY_API_URL", value_name = "URL")]
    pub(super) api: Option<String>,
    /// Print one JSON document instead of text
    #[arg(long, env = "ADTALLY_AUDIT_JSON", value_parser = switch)]
    pub(super) json: bool,
}

impl AuditArgs {
    /// What to look at.
    ///
    /// # Errors
    /// A usage [`Failure`] that names the flag.
    pub(super) fn span(&self, zone: ReportingZone) -> Result<(Timestamp, Timestamp), Failure> {
        let time = |flag, text: &Option<String>| {
            let text = text.as_deref();
            text.map(|text| instant(flag, text, zone)).transpose()
        };
        let from = time("--from", &self.from)?.unwrap_or(Timestamp::EPOCH);
        let to = time("--to", &self.to)?.unwrap_or(Timestamp::MAX);
        if from >= to {
            return Err(Failure::usage("--from must be before --to"));
        }
        Ok((from, to))
    }
}
