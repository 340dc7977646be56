//! The guides name places in the tree: each must be there.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::files::{read, repository};

const GUIDES: [&str; 7] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "deploy/README.md",
    "docker/README.md",
    "docs/operations.md",
];
const FOLDERS: [&str; 7] = [
    "crates/",
    "tests/",
    "deploy/",
    "docker/",
    "migrations/",
    ".ci/",
    "docs/",
];

/// The paths below one of our folders that `text` has between backticks.
fn named_paths(text: &str) -> Vec<&str> {
    let code = text.split('`').skip(1).step_by(2);
    code.filter(|word| FOLDERS.iter().any(|folder| word.starts_with(folder)))
        .filter(|word| !word.contains([' ', '*', '\n']))
        .collect()
}

/// The places in the tree that `text`, a file in `folder`, links to.
fn links<'text>(text: &'text str, folder: &Path) -> Vec<PathBuf> {
    let targets = text
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', '#']).next());
    let ours = targets.filter(|target: &&'text str| !target.is_empty() && !target.contains("://"));
    ours.map(|target| folder.join(target)).collect()
}

#[test]
fn every_link_in_a_guide_leads_somewhere() -> Result<()> {
    for guide in GUIDES {
        let file = repository().join(guide);
        let folder = file.parent().context("a folder")?;
        for target in links(&read(guide)?, folder) {
            ensure!(
                target.exists(),
                "{guide} links to {}, which does not exist",
                target.display()
            );
        }
    }
    Ok(())
}

#[test]
fn every_path_that_a_guide_names_is_there() -> Result<()> {
    let mut count = 0;
    for guide in GUIDES {
        for path in named_paths(&read(guide)?) {
            // Made by whoever follows the guide.
            let there = path == "docker/.env" || repository().join(path).exists();
            ensure!(there, "{guide} names {path}, which does not exist");
            count += 1;
        }
    }
    ensure!(
        count > 20,
        "only {count} paths found: is the guides' notation another now?"
    );
    Ok(())
}
