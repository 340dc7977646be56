//! The flags of `adtally audit`.

use adtally_service::{BrokerArgs, DatabaseArgs, switch};
use clap::Args;

const EXAMPLES: &str = "\
Examples:
  adtally audit
  adtally audit --json --amqp-url amqp://127.0.0.1 --api http://127.0.0.1:8080

In one snapshot of the database, each hour that is over is compared with its raw events and each day with
its hours. Hours and days that wait for a roll-up are pending, which is no fault. Exits with 1 only when a
total differs that no roll-up is waiting to correct.";

/// Check that hourly totals equal raw events and daily totals equal hourly ones.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub struct AuditArgs {
    #[command(flatten)]
    pub(super) database: DatabaseArgs,
    #[command(flatten)]
    pub(super) broker: BrokerArgs,
    /// An API whose spool to look at, too
    #[arg(long, env = "ADTALLY_API_URL", value_name = "URL")]
    pub(super) api: Option<String>,
    /// Print one JSON document instead of text
    #[arg(long, env = "ADTALLY_AUDIT_JSON", value_parser = switch)]
    pub(super) json: bool,
}
