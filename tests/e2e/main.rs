//! Promises of the whole system, kept by the real binaries on real servers.

#![cfg(test)]

mod bad_input;
mod bulkheads;
mod counting;
mod dead_letters;
mod dev;
mod history;
mod import;
mod load;
mod operator;
mod origin;
mod scaling;
mod shutdown;
mod strangers;
mod zones;
