//! What the binaries say of themselves.

use std::process::Command;

use adtally_tests::programs;
use anyhow::{Result, ensure};

/// What `name subcommand --help` prints.
pub(crate) fn help(name: &str, subcommand: Option<&str>) -> Result<String> {
    let output = Command::new(programs::path(name))
        .args(subcommand)
        .arg("--help")
        .output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{name} {} --help: {told}",
        subcommand.unwrap_or_default()
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// Whether `help` has `word` as a word of its own.
pub(crate) fn names(help: &str, word: &str) -> bool {
    help.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'))
        .any(|found| found == word)
}
