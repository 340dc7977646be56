//! From flags to a table and an exit code.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;

use crate::args::BenchArgs;
use crate::lab::Lab;
use crate::{bars, report};

/// Runs the bars that the command line names. Exit code 1 when a floor is missed or a bar has no figure.
#[must_use]
pub fn run() -> ExitCode {
    let args = BenchArgs::parse();
    env_logger::Builder::from_env(
        env_logger::Env::default().default_filter_or("adtally_bench=info"),
    )
    .init();
    match measure(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            log::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn measure(args: &BenchArgs) -> anyhow::Result<bool> {
    let lab = Lab::open(&args.data_dir).await?;
    let mut figures = Vec::new();
    for bar in args.bars() {
        figures.extend(bars::run(bar, &lab, args).await?);
    }
    writeln!(std::io::stdout(), "{}", report::table(&figures))?;
    if let Some(path) = &args.json {
        let json = serde_json::to_vec_pretty(&figures)?;
        std::fs::write(path, json).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(report::all_floors_hold(&figures))
}
