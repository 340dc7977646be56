//! The flags of `adtally load`.

use std::time::Duration;

use adtally_domain::parse_age;
use adtally_service::{BrokerArgs, DatabaseArgs, switch};
use clap::Args;

use crate::api::ApiArgs;

const EXAMPLES: &str = "\
Examples:
  adtally load --rate 5000 --duration 60s
  adtally load --rate 20000 --batch 100 --duration 5m --json
  adtally load --rate 1000 --duration 30s --verify

Requests leave on schedule, however slowly earlier ones are answered, and each latency counts from the
moment its request was due. So a server that stalls can't hide it by being asked less often.
--verify remembers every id with its answer, waits until the queues are empty and then asks the database
for each of them: every accepted event must be there once, no rejected one may be there.";

/// Send generated events at a steady rate and measure the answers.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub struct LoadArgs {
    #[command(flatten)]
    pub(super) api: ApiArgs,
    /// Events per second
    #[arg(long, env = "ADTALLY_LOAD_RATE", value_name = "N", default_value_t = 1_000,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) rate: u32,
    /// How long to send, such as 60s or 5m
    #[arg(long, env = "ADTALLY_LOAD_DURATION", value_name = "TIME", default_value = "60s",
          value_parser = parse_age)]
    pub(super) duration: Duration,
    /// Events in one request
    #[arg(long, env = "ADTALLY_LOAD_BATCH", value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(super) batch: u32,
    /// The most connections open at once
    #[arg(long, env = "ADTALLY_LOAD_CONNECTIONS", value_name = "N", default_value_t = 256,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(super) connections: u32,
    /// How long to wait for an answer
    #[arg(long, env = "ADTALLY_LOAD_TIMEOUT", value_name = "TIME", default_value = "10s",
          value_parser = parse_age)]
    pub(super) timeout: Duration,
    #[command(flatten)]
    pub(super) traffic: TrafficArgs,
    #[command(flatten)]
    pub(super) verify: VerifyArgs,
    /// Print one JSON document instead of text
    #[arg(long, env = "ADTALLY_LOAD_JSON", value_parser = switch)]
    pub(super) json: bool,
}

/// What the events are like.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Traffic")]
pub(super) struct TrafficArgs {
    /// How many ads there are, numbered from 1, the most popular first
    #[arg(long, env = "ADTALLY_LOAD_ADS", value_name = "N", default_value_t = 10_000,
          value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(super) ads: u32,
    /// How steeply the ads' popularity falls, from 0 (all alike) to 5 (Zipf-Mandelbrot's s)
    #[arg(long, env = "ADTALLY_LOAD_SLOPE", value_name = "S", default_value_t = 1.0,
          value_parser = slope)]
    pub(super) slope: f64,
    /// The share of clicks among the events, from 0 to 1
    #[arg(long, env = "ADTALLY_LOAD_CLICK_SHARE", value_name = "SHARE", default_value_t = 0.02,
          value_parser = share)]
    pub(super) click_share: f64,
    /// The share of requests that are sent again at once as a retry would be, from 0 to 1
    #[arg(long, env = "ADTALLY_LOAD_REPEAT_SHARE", value_name = "SHARE", default_value_t = 0.0,
          value_parser = share)]
    pub(super) repeat_share: f64,
    /// A number that makes the choice of ads repeatable
    #[arg(long, env = "ADTALLY_LOAD_SEED", value_name = "N")]
    pub(super) seed: Option<u64>,
}

/// How to check what became of the events.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Verification")]
pub(super) struct VerifyArgs {
    /// Check every event's fate in the database once the queues are empty
    #[arg(long, env = "ADTALLY_LOAD_VERIFY", value_parser = switch)]
    pub(super) verify: bool,
    /// How long the queues may take to empty and the events to arrive
    #[arg(long, env = "ADTALLY_LOAD_VERIFY_TIMEOUT", value_name = "TIME", default_value = "2m",
          value_parser = parse_age)]
    pub(super) verify_timeout: Duration,
    #[command(flatten)]
    pub(super) database: DatabaseArgs,
    #[command(flatten)]
    pub(super) broker: BrokerArgs,
}

fn share(text: &str) -> Result<f64, String> {
    number(text, 1.0)
}

fn slope(text: &str) -> Result<f64, String> {
    number(text, 5.0)
}

fn number(text: &str, max: f64) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if (0.0..=max).contains(&number) => Ok(number),
        _ => Err(format!("use a number from 0 to {max}")),
    }
}
