//! The rows: one fault each, with what was promised about it.

mod api;
mod beat;
mod broker;
mod cluster;
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

/// All rows, in the order of their numbers.
pub(crate) fn all() -> Vec<Row> {
    let mut rows = Vec::new();
    rows.extend(api::ROWS);
    rows.extend(worker::ROWS);
    rows.extend(broker::ROWS);
    rows.extend(network::ROWS);
    rows.extend(cluster::ROWS);
    rows.extend(database::ROWS);
    rows.extend(failover::ROWS);
    rows.extend(events::ROWS);
    rows.extend(poison::ROWS);
    rows.extend(beat::ROWS);
    rows.extend(spool::ROWS);
    rows.push(Row::of_servers("soak", crate::soak::soak));
    rows.sort_by_key(|row| row.name);
    rows
}
