//! AdTally's HTTP API: validates events, makes them durable, answers; serves ads and totals.
//!
//! | room | what |
//! |---|---|
//! | `http` | what every route uses, and the guards around all of them |
//! | `cached`, `ad_cache` | copies of tables in memory |
//! | `ingest` | events from ad servers and browsers, down to the broker or the spool |
//! | `manage` | ads, advertisers, totals, dead letters |
//! | `routes`, `openapi`, `docs` | the table of routes, and its description |
//! | `app_data`, `server`, `run` | the process |
//!
//! A room knows those above it in this table only.

mod ad_cache;
mod app_data;
mod args;
#[cfg(test)]
mod bad_inputs;
mod cached;
mod dead_letters;
mod docs;
mod http;
mod ingest;
mod manage;
mod memory;
mod openapi;
mod readiness;
mod routes;
mod run;
mod server;
#[cfg(test)]
mod testing;

pub use args::ApiArgs;
pub use dead_letters::{
    DeadLetterAction, DeadLetterFault, DeadLetterOutcome, DeadLetterRecord, DeadLetterSweep,
    WholeDeadLetter,
};
pub use run::run;
