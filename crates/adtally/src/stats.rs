//! `adtally stats`: totals per hour or day, from the database or from the API.

mod args;
mod from_api;
mod from_database;
mod period;
mod render;
mod totals;

use std::io::Write;

use adtally_store::Granularity;

use crate::json;
use args::Grain;
pub use args::StatsArgs;
pub(crate) use args::ad_id;
use from_api::ApiTotals;
use from_database::StoredTotals;
pub(crate) use from_database::totals_of_all;
pub(crate) use period::instant;
pub(crate) use render::render;

/// Shows what `args` ask for.
///
/// # Errors
/// When neither server answers, or a time is none.
pub(crate) async fn run(args: &StatsArgs, out: &mut impl Write) -> anyhow::Result<()> {
    args.check()?;
    let totals = match &args.api {
        Some(api) => ApiTotals::connect(api).await?.read(args).await?,
        None => StoredTotals::connect(args).await?.read(args).await?,
    };
    if args.json {
        json::write(&totals, out)?;
    } else {
        render(&totals, out)?;
    }
    Ok(())
}

impl From<Grain> for Granularity {
    fn from(grain: Grain) -> Self {
        match grain {
            Grain::Hour => Self::Hour,
            Grain::Day => Self::Day,
        }
    }
}
