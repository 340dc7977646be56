//! Reading the repository's own files.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The processes that run for as long as the machine does.
pub(crate) const SERVICES: [&str; 3] = ["adtally-api", "adtally-worker", "adtally-beat"];

/// The repository's top folder.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The text of the file at `path` below the repository.
pub(crate) fn read(path: &str) -> Result<String> {
    std::fs::read_to_string(repository().join(path)).with_context(|| format!("read {path}"))
}

/// The rest of each line that starts with `key`, indentation and list dash aside.
pub(crate) fn values<'text>(text: &'text str, key: &str) -> Vec<&'text str> {
    text.lines()
        .filter_map(|line| line.trim_start_matches([' ', '-']).strip_prefix(key))
        .map(str::trim)
        .collect()
}

/// The strings between double quotes in `text`.
pub(crate) fn quoted(text: &str) -> Vec<String> {
    text.split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// The number after the last colon: the port of `0.0.0.0:8080`.
pub(crate) fn port(address: &str) -> Result<u16> {
    let digits = address
        .trim_matches('"')
        .rsplit(':')
        .next()
        .unwrap_or_default();
    digits
        .parse()
        .with_context(|| format!("{address} ends in a port"))
}

/// The one element of `values`.
pub(crate) fn only<T: Copy>(values: &[T], what: &str) -> Result<T> {
    match values {
        [value] => Ok(*value),
        _ => anyhow::bail!("{what}: wanted one, found {}", values.len()),
    }
}
