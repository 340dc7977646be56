//! Statements timed by psql's own clock: without its start and without connecting.

use anyhow::{Context, ensure};

use crate::lab::Ground;

/// Runs statements and `\copy` commands, one on each line, throws their rows away, and says how many
/// seconds all together took.
pub(crate) async fn timed(ground: &Ground<'_>, sql: &[String]) -> anyhow::Result<f64> {
    let script = format!("\\o /dev/null\n\\timing on\n{}\n", sql.join("\n"));
    let output = ground.psql(&script).await?;
    let millis: Vec<f64> = output
        .lines()
        .filter_map(|line| line.strip_prefix("Time: "))
        .map(|line| {
            let number = line.split(' ').next().unwrap_or_default();
            number.parse().with_context(|| format!("psql's {line}"))
        })
        .collect::<anyhow::Result<_>>()?;
    ensure!(
        millis.len() == sql.len(),
        "{} statements and {} times: {output}",
        sql.len(),
        millis.len()
    );
    Ok(millis.iter().sum::<f64>() / 1e3)
}
