//! The figures on file are whole: `docs/benchmarks.csv` has one row for each.

use anyhow::{Context, Result, ensure};
use chrono::NaiveDate;

use crate::files::{read, repository};

const COLUMNS: [&str; 8] = [
    "bar", "date", "machine", "commit", "median", "low", "high", "pairs",
];

/// The number in `field`, none if it is empty.
fn number(field: &str) -> Result<Option<f64>> {
    if field.is_empty() {
        return Ok(None);
    }
    Ok(Some(
        field
            .parse()
            .with_context(|| format!("{field} is a number"))?,
    ))
}

#[test]
fn every_figure_on_file_has_its_bar_its_day_and_its_range() -> Result<()> {
    let file = repository().join("docs/benchmarks.csv");
    let mut file = csv::Reader::from_path(file)?;
    ensure!(*file.headers()? == COLUMNS[..], "other columns");
    let mut count = 0;
    for row in file.records() {
        let row = row?;
        let [bar, date, machine, commit, median, low, high, pairs] =
            std::array::from_fn(|column| row.get(column).unwrap_or_default());
        let whole = ![bar, machine, commit].contains(&"");
        ensure!(whole, "a bar, a machine and a commit: {row:?}");
        NaiveDate::parse_from_str(date, "%Y-%m-%d").with_context(|| format!("{row:?}"))?;
        let figures = [number(low)?, number(median)?, number(high)?];
        let figures: Vec<_> = figures.into_iter().flatten().collect();
        ensure!(
            !figures.is_empty() && figures.is_sorted(),
            "low, median, high: {row:?}"
        );
        ensure!(
            number(pairs)?.is_none_or(|pairs| pairs >= 1.0),
            "pairs: {row:?}"
        );
        count += 1;
    }
    ensure!(count > 400, "only {count} figures on file");
    Ok(())
}

#[test]
fn every_ratio_of_the_benchmarks_page_is_on_file() -> Result<()> {
    let file = read("docs/benchmarks.csv")?;
    let page = read("BENCHMARKS.md")?;
    let rows = page.lines().filter_map(|line| line.strip_prefix("| "));
    let ratios = rows.filter_map(|row| row.split(" | ").nth(4)?.strip_suffix(')'));
    let mut count = 0;
    for ratio in ratios {
        let figures = ratio.replace(" (", ",").replace('-', ",");
        let there = file.contains(&format!(",{figures},"));
        ensure!(there, "docs/benchmarks.csv has no row for {ratio}");
        count += 1;
    }
    ensure!(count > 20, "only {count} ratios found on the page");
    Ok(())
}
