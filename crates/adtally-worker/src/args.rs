//! The worker's flags.

use adtally_service::{BrokerArgs, DatabaseArgs, HealthArgs, ZoneArgs};
use clap::Parser;

/// Stores events and runs tasks. Run as many as you like.
#[derive(Debug, Clone, Parser)]
#[command(name = "adtally-worker", version)]
pub struct WorkerArgs {
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
    #[command(flatten)]
    pub(crate) broker: BrokerArgs,
    #[command(flatten)]
    pub(crate) zone: ZoneArgs,
    #[command(flatten)]
    pub(crate) health: HealthArgs,
    /// How many tasks run at the same time
    #[arg(long, env = "ADTALLY_CONCURRENCY", default_value_t = 2, value_name = "N",
          value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) concurrency: u16,
    /// How many batches of one queue are stored at the same time, each over a connection of its own. With
    /// 1, a backlog of impressions is stored a little slower while others on this machine wait for a
    /// processor
    #[arg(long, env = "ADTALLY_STORE_CONNECTIONS", default_value_t = 1, value_name = "N",
          value_parser = clap::value_parser!(u8).range(1..=8))]
    pub(crate) store_connections: u8,
}
