//! AdTally's HTTP API: judges events, keeps them, answers; serves ads and totals.
//!
//! A request for `POST /v1/events` walks through the files of this crate in this order: `body` reads
//! it, `batch` splits it into items, `judge` turns items into events, `keeper` makes them safe,
//! `routes::events` answers. `spool` is where events wait that the broker cannot take.

mod access;
mod address;
mod answer;
mod args;
#[cfg(test)]
mod bad_inputs;
mod batch;
mod body;
mod browser;
mod buckets;
mod context;
mod dead_letters;
mod directory;
mod fields;
mod judge;
mod keeper;
mod large;
mod listener;
mod lodger;
mod memory;
mod metrics;
mod observe;
mod openapi;
mod problem;
mod query;
mod readiness;
mod routes;
mod run;
mod server;
mod spool;
#[cfg(test)]
mod testing;
mod unread;
mod visitor;
mod zone;

pub use args::ApiArgs;
pub use dead_letters::{
    DeadLetterAction, DeadLetterFault, DeadLetterOutcome, DeadLetterRecord, DeadLetterSweep,
    WholeDeadLetter,
};
pub use run::run;
