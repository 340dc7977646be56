//! Who runs on this machine, from `/proc`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use adtally_tests::until;

/// A process, told apart from a later one with the same id by its start.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Running {
    pub(super) pid: u32,
    started: u64,
}

struct Stat {
    parent: u32,
    state: String,
    started: u64,
}

fn stat(pid: u32) -> Option<Stat> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything.
    let fields: Vec<_> = stat.rsplit_once(") ")?.1.split(' ').collect();
    Some(Stat {
        state: (*fields.first()?).to_owned(),
        parent: fields.get(1)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
    })
}

fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The process `pid` and all its children and theirs.
pub(super) fn family(pid: u32) -> BTreeSet<Running> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for child in pids() {
        if let Some(stat) = stat(child) {
            children.entry(stat.parent).or_default().push(child);
        }
    }
    let (mut found, mut to_visit) = (BTreeSet::new(), vec![pid]);
    while let Some(pid) = to_visit.pop() {
        to_visit.extend(children.remove(&pid).unwrap_or_default());
        found.extend(stat(pid).map(|stat| Running {
            pid,
            started: stat.started,
        }));
    }
    found
}

/// Waits until none of `family` runs any more, nor anybody who works in `dir` or names it.
pub(super) fn until_gone(family: &BTreeSet<Running>, dir: &Path) {
    until("nothing is left running", || {
        let left = family.iter().any(Running::runs);
        (!left && pids().all(|pid| !is_about(pid, dir))).then_some(())
    });
}

impl Running {
    fn runs(&self) -> bool {
        stat(self.pid).is_some_and(|stat| stat.started == self.started && stat.state != "Z")
    }
}

fn is_about(pid: u32, dir: &Path) -> bool {
    let cwd = fs::read_link(format!("/proc/{pid}/cwd"));
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let dir_name = dir.to_str().unwrap();
    cwd.is_ok_and(|cwd| cwd.starts_with(dir)) || String::from_utf8_lossy(&line).contains(dir_name)
}
