//! AdTally's HTTP API: validates events, makes them durable, answers; serves ads and totals.
//!
//! A request for `POST /v1/events` walks through the files of this crate in this order: `body` reads it,
//! `parse` splits it into items, `validate` turns items into events, `sink` makes them durable,
//! `routes::events` answers. `spool` holds the events that the broker cannot take.

mod args;
#[cfg(test)]
mod bad_inputs;
mod body;
mod browser;
mod buckets;
mod client;
mod context;
mod dead_letters;
mod directory;
mod early_response;
mod fields;
mod large_bodies;
mod large_response;
mod listener;
mod memory;
mod metrics;
mod middleware;
mod migrating_task;
mod openapi;
mod origin;
mod parse;
mod problem;
mod query;
mod readiness;
mod routes;
mod run;
mod server;
mod sink;
mod spool;
#[cfg(test)]
mod testing;
mod validate;
mod web_address;
mod zone;

pub use args::ApiArgs;
pub use dead_letters::{
    DeadLetterAction, DeadLetterFault, DeadLetterOutcome, DeadLetterRecord, DeadLetterSweep,
    WholeDeadLetter,
};
pub use run::run;
