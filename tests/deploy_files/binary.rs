//! The binaries under test: those cargo put beside this test.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::files::repository;

/// Where `name` is, built first when this test was built without it.
pub(crate) fn path(name: &str) -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    let profile = test
        .parent()
        .and_then(|deps| deps.parent())
        .context("a target folder")?;
    let path = profile.join(name);
    if !path.exists() {
        build(name, profile.ends_with("release"))?;
    }
    ensure!(path.exists(), "cargo built no {name} beside this test");
    Ok(path)
}

fn build(name: &str, release: bool) -> Result<()> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["build", "--quiet", "--workspace", "--bin", name])
        .current_dir(repository());
    if release {
        cargo.arg("--release");
    }
    ensure!(cargo.status()?.success(), "cargo could not build {name}");
    Ok(())
}

/// What `name arguments.. --help` prints.
pub(crate) fn help(name: &str, subcommand: Option<&str>) -> Result<String> {
    let output = Command::new(path(name)?)
        .args(subcommand)
        .arg("--help")
        .output()?;
    ensure!(
        output.status.success(),
        "{name} --help ended with {}",
        output.status
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// Whether `help` has `word` as a word of its own.
pub(crate) fn names(help: &str, word: &str) -> bool {
    help.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'))
        .any(|found| found == word)
}
