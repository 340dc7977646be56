//! The guides name places in the tree: each must be there.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::files::{read, repository};

const GUIDES: [&str; 10] = [
    "README.md",
    "ARCHITECTURE.md",
    "BENCHMARKS.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "deploy/README.md",
    "docker/README.md",
    "docs/operations.md",
    "docs/scale.md",
];
const DECISIONS: &str = "docs/decisions";
const FOLDERS: [&str; 7] = [
    "crates/",
    "tests/",
    "deploy/",
    "docker/",
    "migrations/",
    ".ci/",
    "docs/",
];

/// Every guide and every page of a decision, below the repository.
fn guides() -> Result<Vec<String>> {
    let mut guides: Vec<_> = GUIDES.map(str::to_owned).into();
    for page in repository().join(DECISIONS).read_dir()? {
        let name = page?.file_name();
        guides.push(format!("{DECISIONS}/{}", name.to_string_lossy()));
    }
    Ok(guides)
}

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
    for guide in guides()? {
        let file = repository().join(&guide);
        let folder = file.parent().context("a folder")?;
        for target in links(&read(&guide)?, folder) {
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
    for guide in guides()? {
        for path in named_paths(&read(&guide)?) {
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

#[test]
fn every_decision_is_listed() -> Result<()> {
    let list = read(&format!("{DECISIONS}/README.md"))?;
    for guide in guides()? {
        let page = guide.strip_prefix(&format!("{DECISIONS}/"));
        if let Some(page) = page.filter(|page| *page != "README.md") {
            ensure!(
                list.contains(&format!("({page})")),
                "{DECISIONS}/README.md does not list {page}"
            );
        }
    }
    Ok(())
}
