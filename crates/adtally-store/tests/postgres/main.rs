//! The store against a real PostgreSQL, one database for each test.

#![cfg(test)]
#![expect(
    clippy::duplicate_mod,
    reason = "the tests of storing events run twice: as they are, and in `blurred`"
)]

mod ads;
mod audit;
mod blurred;
mod concurrency;
mod connection;
mod dead_letters;
mod events;
mod faults;
mod history;
mod identities;
mod index;
mod locks;
mod migrations;
mod observe;
mod open_hour;
mod partitions;
mod rebuild;
mod requeue;
mod resolving;
mod rollups;
mod schedule;
mod schema;
mod server;
mod slow_calls;
mod statements;
mod stats;
mod support;
mod tasks;
mod years;

use support::{store, store_in};
