//! From flags to a table and an exit code.

use std::io::Write;
use std::process::ExitCode;

use adtally_service::{Shutdown, run_main};
use anyhow::{Context, anyhow, ensure};
use clap::Parser;

use crate::args::BenchArgs;
use crate::figure::Figure;
use crate::lab::Lab;
use crate::{bars, report};

/// Runs the bars that the command line names. Exit code 1 when a floor is missed, a bar has no figure, or
/// SIGTERM or SIGINT came before the last one.
#[must_use]
pub fn run() -> ExitCode {
    let args = BenchArgs::parse();
    env_logger::Builder::from_env(
        env_logger::Env::default().default_filter_or("adtally_bench=info"),
    )
    .init();
    run_main(measure(&args))
}

async fn measure(args: &BenchArgs) -> anyhow::Result<()> {
    let stop = Shutdown::on_signals()?;
    let mut figures = Vec::new();
    // What is dropped takes its servers, processes and files with it.
    let ended = tokio::select! {
        ended = run_bars(args, &mut figures) => ended,
        () = stop.requested() => Err(anyhow!("stopped before the last bar had its figure")),
    };
    // Hours may have gone into the bars before, whatever ended this one.
    let told = tell(args, &figures);
    ended.and(told)?;
    ensure!(report::all_floors_hold(&figures), "a floor is missed");
    Ok(())
}

async fn run_bars(args: &BenchArgs, figures: &mut Vec<Figure>) -> anyhow::Result<()> {
    let lab = Lab::open(&args.data_dir).await?;
    for bar in args.bars() {
        figures.extend(bars::run(bar, &lab, args).await?);
    }
    Ok(())
}

fn tell(args: &BenchArgs, figures: &[Figure]) -> anyhow::Result<()> {
    if figures.is_empty() {
        return Ok(());
    }
    writeln!(std::io::stdout(), "{}", report::table(figures))?;
    if let Some(path) = &args.json {
        let json = serde_json::to_vec_pretty(figures)?;
        std::fs::write(path, json).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}
