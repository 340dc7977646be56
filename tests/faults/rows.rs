//! The rows: one fault each, with what was promised about it.

mod api;
mod beat;
mod broker;
mod cluster;
mod crash_loop;
mod database;
mod events;
mod failover;
mod network;
mod poison;
mod spool;
mod worker;

use crate::ground::Ground;

/// Whom a row harms.
pub(crate) enum Harm {
    /// Only processes of its own: it runs beside others of its kind.
    Processes,
    /// The servers all rows share: it runs alone.
    Servers,
}

/// One fault.
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

/// The files the rows are in, and the soak.
pub(crate) const GROUPS: [&str; 13] = [
    "api",
    "worker",
    "broker",
    "network",
    "cluster",
    "database",
    "failover",
    "events",
    "poison",
    "crash_loop",
    "beat",
    "spool",
    "soak",
];

fn group(name: &str) -> Vec<Row> {
    match name {
        "api" => api::ROWS.into(),
        "worker" => worker::ROWS.into(),
        "broker" => broker::ROWS.into(),
        "network" => network::ROWS.into(),
        "cluster" => cluster::ROWS.into(),
        "database" => database::ROWS.into(),
        "failover" => failover::ROWS.into(),
        "events" => events::ROWS.into(),
        "poison" => poison::ROWS.into(),
        "crash_loop" => crash_loop::ROWS.into(),
        "beat" => beat::ROWS.into(),
        "spool" => spool::ROWS.into(),
        _ => vec![Row::of_servers("soak", crate::soak::soak)],
    }
}

/// The rows of some groups, of all unless one is named, in the order of their numbers.
pub(crate) fn of(groups: &[String]) -> Vec<Row> {
    let is_asked_for = |name: &&str| groups.is_empty() || groups.iter().any(|asked| asked == name);
    let asked = GROUPS.into_iter().filter(is_asked_for);
    let mut rows: Vec<_> = asked.flat_map(group).collect();
    rows.sort_by_key(|row| row.name);
    rows
}
