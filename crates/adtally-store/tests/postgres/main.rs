//! The store against a real PostgreSQL, one database for each test.

#![cfg(test)]

mod ads;
mod audit;
mod concurrency;
mod connection;
mod dead_letters;
mod events;
mod faults;
mod history;
mod identities;
mod index;
mod migrations;
mod partitions;
mod requeue;
mod rollups;
mod schedule;
mod schema;
mod settling;
mod stats;
mod support;
mod tasks;
