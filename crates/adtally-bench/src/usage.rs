//! Processor time and memory of processes, as the kernel counts them (proc(5)).

use std::collections::BTreeMap;
use std::fs;

use anyhow::Context;

use crate::lab::Lab;
use crate::program::Program;

/// This process.
const OWN: &str = "bench";
/// psql and other clients that were waited for; children that still run are watched by name.
const CLIENTS: &str = "clients";

/// Processor seconds, user and system, by name.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub(crate) struct Seconds(pub(crate) BTreeMap<String, f64>);

impl Seconds {
    /// All together.
    pub(crate) fn total(&self) -> f64 {
        self.0.values().sum()
    }

    /// Without this process and the clients it ran.
    pub(crate) fn of_others(&self) -> f64 {
        let own = [OWN, CLIENTS];
        let others = self
            .0
            .iter()
            .filter(|(name, _)| !own.contains(&name.as_str()));
        others.map(|(_, seconds)| seconds).sum()
    }

    fn since(self, start: &Self) -> Self {
        let spent = self.0.into_iter().map(|(name, seconds)| {
            let before = start.0.get(&name).copied().unwrap_or_default();
            (name, (seconds - before).max(0.0))
        });
        Self(spent.collect())
    }
}

/// Measures from its making on.
pub(crate) struct Meter {
    watched: Vec<(String, u32)>,
    start: Seconds,
}

impl Meter {
    /// Watches the servers of `lab`, this process with what it has waited for, and `programs`.
    pub(crate) fn start(lab: &Lab, programs: &[(&str, &Program)]) -> anyhow::Result<Self> {
        let pids: Vec<_> = programs
            .iter()
            .map(|(name, program)| (*name, program.pid()))
            .collect();
        Self::of_pids(lab, &pids)
    }

    /// Like [`Self::start`] for processes that others started. Their children count with them.
    pub(crate) fn of_pids(lab: &Lab, pids: &[(&str, u32)]) -> anyhow::Result<Self> {
        let mut watched = vec![
            ("postgres".to_owned(), lab.postgres.pid()),
            ("rabbitmq".to_owned(), lab.rabbitmq.pid()),
        ];
        watched.extend(pids.iter().map(|(name, pid)| ((*name).to_owned(), *pid)));
        let start = read(&watched)?;
        Ok(Self { watched, start })
    }

    /// What was spent since.
    pub(crate) fn stop(self) -> anyhow::Result<Seconds> {
        Ok(read(&self.watched)?.since(&self.start))
    }
}

fn read(watched: &[(String, u32)]) -> anyhow::Result<Seconds> {
    let all = all_stats()?;
    let mut seconds = BTreeMap::new();
    for (name, pid) in watched {
        *seconds.entry(name.clone()).or_default() += with_children(&all, *pid);
    }
    let own = stat(std::process::id()).context("this process in /proc")?;
    seconds.insert(OWN.to_owned(), own.own());
    seconds.insert(CLIENTS.to_owned(), own.waited_for());
    Ok(Seconds(seconds))
}

struct Stat {
    pid: u32,
    parent: u32,
    own: u64,
    waited_for: u64,
}

impl Stat {
    fn own(&self) -> f64 {
        seconds(self.own)
    }

    fn waited_for(&self) -> f64 {
        seconds(self.waited_for)
    }
}

fn with_children(all: &[Stat], pid: u32) -> f64 {
    let own = all.iter().filter(|stat| stat.pid == pid);
    let own: f64 = own.map(|stat| stat.own() + stat.waited_for()).sum();
    let children = all.iter().filter(|stat| stat.parent == pid);
    own + children
        .map(|child| with_children(all, child.pid))
        .sum::<f64>()
}

fn all_stats() -> anyhow::Result<Vec<Stat>> {
    let entries = fs::read_dir("/proc")?.filter_map(Result::ok);
    Ok(entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(stat)
        .collect())
}

/// `None` for a process that has just ended.
fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some(Stat {
        pid,
        parent: u32::try_from(number(1)?).ok()?,
        own: number(11)? + number(12)?,
        waited_for: number(13)? + number(14)?,
    })
}

#[expect(clippy::cast_precision_loss, reason = "ticks of a process's life")]
fn seconds(ticks: u64) -> f64 {
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}

/// Processor seconds since the machine's start that its host gave to others while something here wanted
/// to run (`steal`); zero where nobody counts them.
pub(crate) fn stolen() -> f64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    // `cpu`, user, nice, system, idle, iowait, irq, softirq, steal.
    let ticks = text
        .split_whitespace()
        .nth(8)
        .and_then(|ticks| ticks.parse().ok());
    seconds(ticks.unwrap_or_default())
}

/// The most memory a process ever held, in bytes.
pub(crate) fn peak_memory(pid: u32) -> anyhow::Result<u64> {
    memory(pid, "VmHWM:")
}

/// The memory a process holds now, in bytes.
pub(crate) fn present_memory(pid: u32) -> anyhow::Result<u64> {
    memory(pid, "VmRSS:")
}

fn memory(pid: u32, field: &str) -> anyhow::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find(|line| line.starts_with(field));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1));
    let kilobytes: u64 = kilobytes.context("no such field in /proc")?.parse()?;
    Ok(kilobytes * 1_024)
}
