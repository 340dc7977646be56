//! Beat's flags.

use std::time::Duration;

use adtally_service::{BrokerArgs, DatabaseArgs, HealthArgs, ZoneArgs};
use clap::Parser;

/// Puts due periodic tasks on the queue. Run as many as you like: each slot is sent once.
#[derive(Debug, Clone, Parser)]
#[command(name = "adtally-beat", version)]
pub struct BeatArgs {
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
    #[command(flatten)]
    pub(crate) broker: BrokerArgs,
    #[command(flatten)]
    pub(crate) zone: ZoneArgs,
    #[command(flatten)]
    pub(crate) health: HealthArgs,
    /// How long after the end of an hour or day its roll-up is sent, such as 15s
    #[arg(long, env = "ADTALLY_DELAY", default_value = "15s", value_name = "DURATION",
          value_parser = adtally_domain::parse_age)]
    pub(crate) delay: Duration,
}
