//! The worker's flags.

use std::net::SocketAddr;

use adtally_broker::BrokerConfig;
use adtally_domain::ReportingZone;
use adtally_service::{BrokerArgs, DatabaseArgs, Failure, HealthArgs, SecretUrl, ZoneArgs, switch};
use adtally_store::StoreConfig;
use clap::Parser;

/// Connections to the database that a worker always needs beside those of its tasks: one for each of
/// the dead and the unrouted queue, and one to see whether the database is there.
const OWN_CONNECTIONS: u32 = 3;
/// The queues whose batches may be stored several at a time: impressions and clicks.
const LIVE_QUEUES: u32 = 2;

/// Stores events and runs tasks. Run as many as you like.
#[derive(Debug, Clone, Parser)]
#[command(name = "adtally-worker", version)]
pub struct WorkerArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    broker: BrokerArgs,
    #[command(flatten)]
    zone: ZoneArgs,
    #[command(flatten)]
    health: HealthArgs,
    /// How many tasks run at the same time
    #[arg(long, env = "ADTALLY_CONCURRENCY", default_value_t = 2, value_name = "N",
          value_parser = clap::value_parser!(u16).range(1..=64))]
    concurrency: u16,
    /// How many batches of one queue are stored at the same time, each over a connection of its own
    #[arg(long, env = "ADTALLY_STORE_CONNECTIONS", default_value_t = 1, value_name = "N",
          value_parser = clap::value_parser!(u8).range(1..=8))]
    store_connections: u8,
    /// Store a backlog of impressions slower while other processes of this machine wait for a processor. Has
    /// no effect with more than one of --store-connections, nor where the kernel has no /proc/pressure/cpu
    #[arg(long, env = "ADTALLY_YIELD_CPU", value_parser = switch)]
    yield_cpu: bool,
}

/// Checked flags.
pub(crate) struct Config {
    /// What the worker is called in the database and at the broker.
    pub(crate) name: String,
    pub(crate) store: StoreConfig,
    pub(crate) broker: BrokerConfig,
    pub(crate) zone: Option<ReportingZone>,
    pub(crate) health_bind: SocketAddr,
    pub(crate) concurrency: u16,
    pub(crate) store_connections: u8,
    pub(crate) yield_cpu: bool,
}

impl WorkerArgs {
    /// The flags, checked before anything starts.
    ///
    /// # Errors
    /// A configuration failure that names the flag.
    pub(crate) fn resolve(self) -> Result<Config, Failure> {
        let database = self.database.resolve()?;
        let broker = self.broker.resolve()?;
        let zone = self.zone.resolve()?;
        let name = format!("adtally-worker@{}.{}", hostname(), std::process::id());
        let urls: Vec<_> = broker.urls.iter().map(SecretUrl::expose).collect();
        let broker = BrokerConfig::new(&urls, &broker.prefix, &name)
            .map_err(|error| Failure::configuration(format!("--amqp-url: {error}")))?;
        let config = Config {
            store: StoreConfig {
                pool_size: database.pool_size,
                application_name: name.clone(),
                ..StoreConfig::new(database.url.expose())
            },
            name,
            broker,
            zone,
            health_bind: self.health.health_bind,
            concurrency: self.concurrency,
            store_connections: self.store_connections,
            yield_cpu: self.yield_cpu,
        };
        config.check_pool_size()?;
        Ok(config)
    }
}

impl Config {
    /// Makes sure that every part of a worker has a connection to the database when it needs one. With fewer
    /// connections than users, the longest waiting would take the database for lost.
    fn check_pool_size(&self) -> Result<(), Failure> {
        let (pool, concurrency) = (self.store.pool_size, self.concurrency);
        let store_connections = self.store_connections;
        let needed =
            u32::from(concurrency) + OWN_CONNECTIONS + LIVE_QUEUES * u32::from(store_connections);
        if needed <= pool {
            return Ok(());
        }
        Err(Failure::configuration(format!(
            "--database-pool-size {pool} is too small: with --concurrency {concurrency} and \
             --store-connections {store_connections} it must be at least {needed}"
        )))
    }
}

fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "localhost".to_owned(), |name| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use adtally_service::ExitKind;

    use super::*;

    fn resolved(more: &[&str]) -> Result<Config, Failure> {
        let servers = [
            "adtally-worker",
            "--database-url",
            "postgres://h/d",
            "--amqp-url",
            "amqp://h",
        ];
        WorkerArgs::try_parse_from(servers.iter().chain(more))
            .unwrap()
            .resolve()
    }

    #[test]
    fn every_part_of_a_worker_has_a_connection() {
        let check = |pool: &str, concurrency: &str, connections: &str| {
            let flags = [
                ["--database-pool-size", pool],
                ["--concurrency", concurrency],
                ["--store-connections", connections],
            ];
            resolved(flags.as_flattened()).map(drop)
        };
        check("7", "2", "1").unwrap();
        check("10", "2", "2").unwrap();
        check("20", "2", "4").unwrap();
        check("6", "2", "1").unwrap_err();
        let failure = check("8", "4", "1").unwrap_err();
        assert_eq!(failure.kind, ExitKind::Configuration);
        assert!(failure.message.contains("at least 9"), "{failure}");
        let failure = check("10", "2", "3").unwrap_err();
        assert!(failure.message.contains("at least 11"), "{failure}");
    }

    #[test]
    fn defaults_are_those_of_the_manual() {
        let config = resolved(&[]).unwrap_or_else(|failure| panic!("{failure}"));
        assert_eq!((config.concurrency, config.store_connections), (2, 1));
        assert_eq!(config.store.pool_size, 10);
        assert_eq!(config.store.application_name, config.name);
        assert!(config.zone.is_none() && !config.yield_cpu);
    }
}
