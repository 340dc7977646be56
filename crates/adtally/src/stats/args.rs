//! The flags of `adtally stats`.

use std::time::Duration;

use adtally_domain::{AdId, parse_age};
use adtally_service::{DatabaseArgs, Failure, switch};
use clap::{Args, ValueEnum};

const EXAMPLES: &str = "\
Examples:
  adtally stats
  adtally stats --granularity day --from 2017-11-01 --to 2017-12-01
  adtally stats --ad 42 --from '2026-11-22 06:00' --to '2026-11-22 12:00'
  adtally stats --by-ad --granularity day --json --api http://127.0.0.1:8080

Times are RFC 3339, or local times of the reporting zone without offset; --to is not included.";

/// Show totals per hour or day.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub struct StatsArgs {
    /// The length of a bucket
    #[arg(long, env = "ADTALLY_STATS_GRANULARITY", value_enum, value_name = "LENGTH",
          default_value_t = Grain::Hour)]
    pub(super) granularity: Grain,
    /// The first time of interest; 24 hours or 30 days before --to unless given
    #[arg(long, env = "ADTALLY_STATS_FROM", value_name = "TIME")]
    pub(super) from: Option<String>,
    /// The first time not of interest; now unless given
    #[arg(long, env = "ADTALLY_STATS_TO", value_name = "TIME")]
    pub(super) to: Option<String>,
    /// One ad's totals, with the hours or days in which it had none
    #[arg(long, env = "ADTALLY_STATS_AD", value_name = "ID", value_parser = ad_id)]
    pub(super) ad: Option<AdId>,
    /// One row for each ad instead of one for all of them
    #[arg(long, env = "ADTALLY_STATS_BY_AD", value_parser = switch)]
    pub(super) by_ad: bool,
    /// The most rows to show with --by-ad
    #[arg(long, env = "ADTALLY_STATS_LIMIT", value_name = "N", default_value_t = 1_000,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) limit: u32,
    /// Print one JSON document instead of a table
    #[arg(long, env = "ADTALLY_STATS_JSON", value_parser = switch)]
    pub(super) json: bool,
    /// Ask the API at this URL instead of the database
    #[arg(long, env = "ADTALLY_STATS_API", value_name = "URL")]
    pub(super) api: Option<String>,
    /// How long after its end a bucket's numbers count as final, when the database is asked
    #[arg(long, env = "ADTALLY_FINAL_AFTER", value_name = "TIME", default_value = "24h",
          value_parser = parse_age)]
    pub(super) final_after: Duration,
    #[command(flatten)]
    pub(super) database: DatabaseArgs,
}

impl StatsArgs {
    /// Whether the flags make sense together. Not told by clap, which takes a variable that says no
    /// for the flag.
    ///
    /// # Errors
    /// A usage [`Failure`] that names both.
    pub(super) fn check(&self) -> Result<(), Failure> {
        if self.by_ad && self.ad.is_some() {
            return Err(Failure::usage(
                "--by-ad shows all ads and --ad one: give one of the two",
            ));
        }
        Ok(())
    }
}

/// The length of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Grain {
    /// An hour of the reporting zone.
    Hour,
    /// A day of the reporting zone.
    Day,
}

/// An ad's id as a flag.
pub(crate) fn ad_id(text: &str) -> Result<AdId, String> {
    let id = text.parse().ok().and_then(AdId::new);
    id.ok_or_else(|| "use a whole number from 1 to 9223372036854775807".to_owned())
}
