//! The rows: one fault each, with what was promised about it.

mod api;
mod beat;
mod broker;
mod cluster;
mod crash_loop;
mod database;
mod disks;
mod events;
mod failover;
mod limits;
mod log;
mod names;
mod network;
mod poison;
mod spool;
mod tls;
mod worker;

use crate::ground::Ground;

/// Whom a row harms.
#[derive(Clone, Copy)]
pub(crate) enum Harm {
    /// Only processes of its own: it runs beside others of its kind.
    Processes,
    /// The servers all rows share: it runs alone.
    Servers,
}

/// One fault.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) harm: Harm,
    pub(crate) run: fn(&Ground),
}

impl Row {
    const fn of_processes(name: &'static str, run: fn(&Ground)) -> Self {
        Self {
            name,
            harm: Harm::Processes,
            run,
        }
    }

    const fn of_servers(name: &'static str, run: fn(&Ground)) -> Self {
        Self {
            name,
            harm: Harm::Servers,
            run,
        }
    }
}

/// The files the rows are in, with their rows, and the soak.
const GROUPS: [(&str, &[Row]); 18] = [
    ("api", &api::ROWS),
    ("worker", &worker::ROWS),
    ("broker", &broker::ROWS),
    ("network", &network::ROWS),
    ("cluster", &cluster::ROWS),
    ("database", &database::ROWS),
    ("disks", &disks::ROWS),
    ("failover", &failover::ROWS),
    ("events", &events::ROWS),
    ("poison", &poison::ROWS),
    ("crash_loop", &crash_loop::ROWS),
    ("beat", &beat::ROWS),
    ("spool", &spool::ROWS),
    ("limits", &limits::ROWS),
    ("log", &log::ROWS),
    ("names", &names::ROWS),
    ("tls", &tls::ROWS),
    ("soak", &[Row::of_servers("soak", crate::soak::soak)]),
];

/// The names of the groups.
pub(crate) fn groups() -> [&'static str; GROUPS.len()] {
    GROUPS.map(|(name, _)| name)
}

/// The rows of some groups, of all unless one is named, in the order of their numbers.
pub(crate) fn of(groups: &[String]) -> Vec<Row> {
    let is_asked_for = |name: &str| groups.is_empty() || groups.iter().any(|asked| asked == name);
    let asked = GROUPS.iter().filter(|(name, _)| is_asked_for(name));
    let mut rows: Vec<_> = asked.flat_map(|(_, rows)| *rows).copied().collect();
    rows.sort_by_key(|row| row.name);
    rows
}
