//! The flags of `adtally dev`.

use std::net::SocketAddr;
use std::path::PathBuf;

use adtally_devstack::packages::Install;
use adtally_service::{BrokerArgs, DatabaseArgs, Failure, ZoneArgs, switch};
use clap::Args;

/// Start everything on this machine: servers, API, workers and beat
#[derive(Debug, Clone, Args)]
pub struct DevArgs {
    /// Send two days of generated traffic, print its totals, and keep a trickle going
    #[arg(long, env = "ADTALLY_DEMO", value_parser = switch)]
    pub(super) demo: bool,
    /// Start PostgreSQL and RabbitMQ only
    #[arg(long, env = "ADTALLY_SERVICES_ONLY", value_parser = switch)]
    pub(super) services_only: bool,
    /// Where the servers keep their data and everything its logs
    #[arg(
        long,
        env = "ADTALLY_DATA_DIR",
        default_value = ".adtally",
        value_name = "DIR"
    )]
    data_dir: PathBuf,
    /// How many workers to start
    #[arg(long, env = "ADTALLY_WORKERS", default_value_t = 2, value_name = "N",
          value_parser = clap::value_parser!(u16).range(0..=64))]
    pub(super) workers: u16,
    /// How many beats to start
    #[arg(long, env = "ADTALLY_BEATS", default_value_t = 1, value_name = "N",
          value_parser = clap::value_parser!(u16).range(0..=64))]
    pub(super) beats: u16,
    /// The API's address; port 0 picks a free one
    #[arg(
        long,
        env = "ADTALLY_API_BIND",
        default_value = "127.0.0.1:8080",
        value_name = "ADDRESS"
    )]
    pub(super) api_bind: SocketAddr,
    /// Events older than this are refused, such as 35d
    #[arg(long, env = "ADTALLY_MAX_EVENT_AGE", default_value = "35d", value_name = "DURATION",
          value_parser = age)]
    pub(super) max_event_age: String,
    /// Never install server packages that are missing
    #[arg(long, env = "ADTALLY_NO_INSTALL", value_parser = switch)]
    no_install: bool,
    #[command(flatten)]
    pub(super) zone: ZoneArgs,
    #[command(flatten)]
    pub(super) database: DatabaseArgs,
    #[command(flatten)]
    pub(super) broker: BrokerArgs,
}

impl DevArgs {
    /// Whether the flags make sense, before anything is made or started. That two exclude each other
    /// is not told by clap, which takes a variable that says no for the flag.
    ///
    /// # Errors
    /// A [`Failure`] that names the flags.
    pub(super) fn check(&self) -> Result<(), Failure> {
        if self.demo && self.services_only {
            return Err(Failure::usage(
                "--demo needs what --services-only leaves out: give one of the two",
            ));
        }
        self.zone.resolve().map(drop)
    }

    /// Whether missing server packages may be installed.
    pub(super) fn install(&self) -> Install {
        if self.no_install {
            Install::Forbidden
        } else {
            Install::Allowed
        }
    }

    /// The data directory, made when missing, as an absolute path.
    ///
    /// # Errors
    /// A configuration [`Failure`] when it cannot be made.
    pub(super) fn prepare_data_dir(&self) -> Result<PathBuf, Failure> {
        let made = std::fs::create_dir_all(self.data_dir.join("log"))
            .and_then(|()| std::fs::canonicalize(&self.data_dir));
        made.map_err(|error| {
            let dir = self.data_dir.display();
            Failure::configuration(format!("--data-dir {dir} cannot be used: {error}"))
        })
    }
}

/// Checks the text here, so that a typo is told at once and not by a process started later.
fn age(text: &str) -> Result<String, adtally_domain::InvalidAge> {
    adtally_domain::parse_age(text).map(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use adtally_service::ExitKind;
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Dev {
        #[command(flatten)]
        args: DevArgs,
    }

    #[test]
    fn a_demo_needs_services_and_an_empty_zone_is_none() {
        let checked = |flags: &[&str]| {
            let dev = Dev::try_parse_from([&["dev"], flags].concat()).unwrap();
            dev.args.check()
        };
        checked(&["--demo", "--timezone", ""]).unwrap();
        checked(&["--services-only"]).unwrap();
        let both = checked(&["--services-only", "--demo"]).unwrap_err();
        assert_eq!(both.kind, ExitKind::Usage);
    }
}
