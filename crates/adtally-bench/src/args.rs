//! Which bars to run, and how long.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Parser, ValueEnum};

/// Measures AdTally against its bars
#[derive(Debug, Clone, Parser)]
#[command(name = "adtally-bench", version)]
pub(crate) struct BenchArgs {
    /// The bars to run, or all of them
    #[arg(required = true, value_name = "BAR", value_parser = choice())]
    pub(crate) bars: Vec<Choice>,
    /// Pairs of arms for each figure
    #[arg(long, default_value_t = 5)]
    pub(crate) pairs: usize,
    /// Seconds that an arm under load lasts
    #[arg(long, default_value_t = 8)]
    pub(crate) seconds: u64,
    /// Connections of the generator, where a bar does not say otherwise
    #[arg(long, default_value_t = 64)]
    pub(crate) connections: usize,
    /// HTTP threads of the bare handler; as many as its server takes by itself unless given
    #[arg(long, value_name = "N")]
    pub(crate) bare_workers: Option<NonZeroUsize>,
    /// Events of the backlog that is stored in bars 3 and 4
    #[arg(long, default_value_t = 5_000_000)]
    pub(crate) backlog: u64,
    /// Where to write all figures as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Where the servers keep their data while the bars run; it must be on a real disk
    #[arg(long, value_name = "DIRECTORY", default_value = "target/bench")]
    pub(crate) data_dir: PathBuf,
}

/// What can be asked for: a bar, or with none all of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Choice(Option<Bar>);

/// A bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Bar {
    /// Bar 1: single events accepted, over a bare handler
    Accept,
    /// Bar 2: arrays of 100 accepted, over a bare handler
    AcceptArrays,
    /// Bar 3: a worker storing a backlog, over psql's copy of the same rows
    Store,
    /// Bar 4: the same when events come twice
    StoreRepeated,
    /// Bar 5: an hourly task, over the bare SQL of its work
    RollUp,
    /// Bar 6: the daily task and storing, with much data over little
    Growth,
    /// Bar 7: memory with long queues and with a dead broker
    Memory,
    /// Bar 8: latency at half of the maximum, over a bare handler and a bare confirm
    Latency,
    /// Bar 9: single events accepted and stored, over a bare handler
    EndToEnd,
    /// Bar 10: events per processor second, over Django with Celery
    Celery,
    /// Bar 11: two workers over one, and publishing beside a worker
    Scaling,
}

impl BenchArgs {
    /// The bars asked for, each once, in their order.
    pub(crate) fn bars(&self) -> Vec<Bar> {
        let is_asked = |bar: &Bar| {
            let mut asked = self.bars.iter();
            asked.any(|choice| choice.0.is_none_or(|asked| asked == *bar))
        };
        Bar::value_variants()
            .iter()
            .copied()
            .filter(is_asked)
            .collect()
    }

    pub(crate) fn duration(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

fn choice() -> impl TypedValueParser<Value = Choice> {
    let all = PossibleValue::new("all").help("Every bar");
    let bars = Bar::value_variants()
        .iter()
        .filter_map(Bar::to_possible_value);
    PossibleValuesParser::new(std::iter::once(all).chain(bars))
        .map(|name| Choice(Bar::from_str(&name, false).ok()))
}
