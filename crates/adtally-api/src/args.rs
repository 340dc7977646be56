//! The API's flags.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use adtally_broker::BrokerConfig;
use adtally_domain::{Intake, InvalidAge, ReportingZone, parse_age};
use adtally_service::{BrokerArgs, DatabaseArgs, Failure, ZoneArgs, path_or_empty, switch};
use adtally_store::StoreConfig;
use clap::Parser;

use crate::ingest::spool::{SpoolOptions, parse_size};

/// AdTally's HTTP API: takes events, answers when they are safe, and serves ads and totals
#[derive(Debug, Clone, Parser)]
#[command(name = "adtally-api", version)]
pub struct ApiArgs {
    /// The address to listen on; port 0 picks a free one
    #[arg(
        long,
        env = "ADTALLY_BIND",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8080"
    )]
    pub bind: SocketAddr,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as a heading")]
    pub database: DatabaseArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as a heading")]
    pub broker: BrokerArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as a heading")]
    pub zone: ZoneArgs,
    /// Refuse events older than this, such as 35d or 36h
    #[arg(long, env = "ADTALLY_MAX_EVENT_AGE", value_name = "AGE", default_value = "35d",
          value_parser = parse_age)]
    pub max_event_age: Duration,
    /// How long after its end an hour or day becomes final
    #[arg(long, env = "ADTALLY_FINAL_AFTER", value_name = "AGE", default_value = "24h",
          value_parser = parse_age)]
    pub final_after: Duration,
    /// Keep visitors' addresses whole instead of cutting them to their /24 or /48 network
    #[arg(long, env = "ADTALLY_KEEP_IP", value_parser = switch)]
    pub keep_ip: bool,
    /// Keep events in this directory while the broker cannot take them; each API has its own
    #[arg(long, env = "ADTALLY_SPOOL_DIR", value_name = "DIRECTORY", value_parser = path_or_empty())]
    pub spool_dir: Option<PathBuf>,
    /// The most bytes the spool may hold, such as 512M or 1G
    #[arg(long, env = "ADTALLY_SPOOL_MAX_BYTES", value_name = "BYTES", default_value = "1G",
          value_parser = parse_size)]
    pub spool_max_bytes: u64,
    /// How many proxies in front of the API append to x-forwarded-for; 0 trusts the connection only
    #[arg(long, env = "ADTALLY_TRUSTED_PROXIES", value_name = "N", default_value_t = 0,
          value_parser = clap::value_parser!(u8).range(0..=32))]
    pub trusted_proxies: u8,
    /// A host name that browsers may call the API by, such as ads.example.com; several are separated by
    /// commas or given by repeating the flag, * allows any. Addresses and localhost always may. Unless
    /// given: none but these when only this machine reaches the API, else any
    #[arg(
        long,
        env = "ADTALLY_ALLOWED_HOST",
        value_name = "HOST",
        value_delimiter = ','
    )]
    pub allowed_host: Vec<String>,
    /// How long to go on serving, not ready, after the request to stop, so that balancers look elsewhere
    #[arg(long, env = "ADTALLY_DRAIN", value_name = "DURATION", default_value = "2s", value_parser = drain)]
    pub drain: Duration,
    /// Threads that answer requests; one less than processors unless given, and at least one. As many as
    /// processors serve more where nothing else runs on them
    #[arg(long, env = "ADTALLY_HTTP_WORKERS", value_name = "N")]
    pub http_workers: Option<NonZeroUsize>,
    /// The most connections held at once
    #[arg(
        long,
        env = "ADTALLY_MAX_CONNECTIONS",
        value_name = "N",
        default_value = "20000"
    )]
    pub max_connections: NonZeroUsize,
    /// The most bytes that request bodies, and the events made of them, hold at once, such as 128M; a
    /// quarter is kept for bodies of at most 64 KiB
    #[arg(long, env = "ADTALLY_BODY_MEMORY", value_name = "BYTES", default_value = "256M",
          value_parser = body_memory)]
    pub body_memory: usize,
}

/// Checked flags.
pub(crate) struct Config {
    pub(crate) bind: SocketAddr,
    pub(crate) store: StoreConfig,
    pub(crate) broker: BrokerConfig,
    pub(crate) zone: Option<ReportingZone>,
    pub(crate) intake: Intake,
    pub(crate) final_after: Duration,
    pub(crate) spool: Option<SpoolOptions>,
    pub(crate) trusted_proxies: usize,
    pub(crate) allowed_hosts: Vec<String>,
    pub(crate) drain: Duration,
    pub(crate) http_workers: usize,
    pub(crate) connections_per_worker: usize,
    pub(crate) body_memory: usize,
}

impl ApiArgs {
    /// The flags, checked before anything starts.
    ///
    /// # Errors
    /// A configuration failure that names the flag.
    pub(crate) fn resolve(self) -> Result<Config, Failure> {
        let database = self.database.resolve()?;
        let broker = self.broker.resolve()?;
        let urls: Vec<_> = broker.urls.iter().map(|url| url.expose()).collect();
        let broker = BrokerConfig::new(&urls, &broker.prefix, "adtally-api")
            .map_err(|error| Failure::configuration(format!("--amqp-url: {error}")))?;
        let zone = self.zone.resolve()?;
        let spool_dir = self.spool_dir.filter(|path| !path.as_os_str().is_empty());
        let mut store = StoreConfig::new(database.url.expose());
        store.pool_size = database.pool_size;
        store.application_name = "adtally-api".to_owned();
        store.call_timeout = Duration::from_secs(10);
        let http_workers = self
            .http_workers
            .map_or_else(http_workers, NonZeroUsize::get);
        Ok(Config {
            bind: self.bind,
            store,
            broker,
            zone,
            intake: Intake {
                max_event_age: self.max_event_age,
                keep_ip: self.keep_ip,
            },
            final_after: self.final_after,
            spool: spool_dir.map(|directory| SpoolOptions {
                directory,
                max_bytes: self.spool_max_bytes,
            }),
            trusted_proxies: self.trusted_proxies.into(),
            allowed_hosts: host_names(self.allowed_host)?,
            drain: self.drain,
            http_workers,
            connections_per_worker: self.max_connections.get().div_ceil(http_workers),
            body_memory: self.body_memory,
        })
    }
}

/// The least memory for bodies: the largest of them, and its events, fit into what one client may hold.
const LEAST_BODY_MEMORY: usize = 16 * 1_024 * 1_024;

/// Reads the memory for bodies.
fn body_memory(text: &str) -> Result<usize, String> {
    let bytes = parse_size(text)?;
    let bytes =
        usize::try_from(bytes).map_err(|_| "it is more than this machine has".to_owned())?;
    if bytes < LEAST_BODY_MEMORY {
        return Err("it must be at least 16M".to_owned());
    }
    Ok(bytes)
}

/// A duration, or 0 for none.
fn drain(text: &str) -> Result<Duration, InvalidAge> {
    match text {
        "0" => Ok(Duration::ZERO),
        text => parse_age(text),
    }
}

/// Names without what a URL has around them. An empty variable counts as unset.
fn host_names(given: Vec<String>) -> Result<Vec<String>, Failure> {
    let mut names = given;
    names.retain(|name| !name.trim().is_empty());
    match names.iter().find(|name| !is_host_name(name.trim())) {
        None => Ok(names),
        Some(name) => Err(Failure::configuration(format!(
            "--allowed-host: {name:?} is no host name; write the name alone, such as ads.example.com"
        ))),
    }
}

fn is_host_name(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    name == "*" || name.bytes().all(is_letter)
}

/// How many threads answer requests: one processor is left to the connection to the broker.
fn http_workers() -> usize {
    let processors = std::thread::available_parallelism().map_or(2, NonZeroUsize::get);
    (processors - 1).max(1)
}

#[cfg(test)]
mod tests {
    use adtally_service::ExitKind;
    use clap::CommandFactory;

    use super::*;

    const SERVERS: [&str; 5] = [
        "adtally-api",
        "--database-url",
        "postgres://h/d",
        "--amqp-url",
        "amqp://h",
    ];

    fn resolved(more: &[&str]) -> Result<Config, Failure> {
        ApiArgs::try_parse_from(SERVERS.iter().chain(more))
            .unwrap()
            .resolve()
    }

    #[test]
    fn the_command_line_is_consistent() {
        ApiArgs::command().debug_assert();
    }

    #[test]
    fn every_flag_has_a_variable_of_its_own() {
        for flag in ApiArgs::command().get_arguments() {
            let expected = flag.get_id().as_str().to_uppercase();
            assert!(
                flag.get_env().is_some_and(
                    |name| name.to_str() == Some(format!("ADTALLY_{expected}").as_str())
                ),
                "{expected}"
            );
        }
    }

    #[test]
    fn defaults_are_those_of_the_manual() {
        let config = resolved(&[]).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(
            config.intake.max_event_age,
            Duration::from_secs(35 * 86_400)
        );
        assert_eq!(config.final_after, Duration::from_secs(86_400));
        assert_eq!(config.spool, None);
        assert!(!config.intake.keep_ip && config.trusted_proxies == 0 && config.zone.is_none());
    }

    #[test]
    fn a_spool_holds_one_gibibyte_unless_told_otherwise() {
        for (more, max_bytes) in [(&[][..], 1 << 30), (&["--spool-max-bytes", "64K"], 1 << 16)] {
            let args = [&["--spool-dir", "s"], more].concat();
            let config = resolved(&args).unwrap_or_else(|error| panic!("{error}"));
            let directory = PathBuf::from("s");
            let expected = SpoolOptions {
                directory,
                max_bytes,
            };
            assert_eq!(config.spool, Some(expected));
        }
    }

    #[test]
    fn what_is_empty_counts_as_unset() {
        let config = resolved(&["--timezone", "", "--spool-dir", ""]);
        let config = config.unwrap_or_else(|error| panic!("{error}"));
        assert!(config.zone.is_none() && config.spool.is_none());
    }

    #[test]
    fn host_names_stand_alone() {
        let names = |more: &[&str]| resolved(more).map(|config| config.allowed_hosts);
        assert_eq!(names(&["--allowed-host", ""]).ok(), Some(Vec::new()));
        let given = ["--allowed-host", "a.example,b", "--allowed-host", "*"];
        assert_eq!(names(&given).ok().unwrap(), ["a.example", "b", "*"]);
        for wrong in ["https://a.example", "a:80", "*.example"] {
            let failure = names(&["--allowed-host", wrong]).unwrap_err();
            assert_eq!(failure.kind, ExitKind::Configuration, "{wrong}");
        }
    }

    #[test]
    fn a_drain_is_two_seconds_unless_told_otherwise() {
        let drain = |more: &[&str]| resolved(more).map(|config| config.drain).ok();
        assert_eq!(drain(&[]), Some(Duration::from_secs(2)));
        assert_eq!(drain(&["--drain", "0"]), Some(Duration::ZERO));
        assert_eq!(drain(&["--drain", "8s"]), Some(Duration::from_secs(8)));
    }

    #[test]
    fn bad_configuration_is_told_by_its_flag() {
        let zone = resolved(&["--timezone", "Mars/Olympus"]).err().unwrap();
        assert_eq!(zone.kind, ExitKind::Configuration);
        assert!(zone.message.starts_with("--timezone: "), "{}", zone.message);
    }
}
