//! One PostgreSQL and one RabbitMQ server per test process.
//!
//! ```no_run
//! use adtally_devstack::testing::TestStack;
//!
//! let stack = TestStack::shared();
//! let database = stack.database("orders");      // its own, empty; dropped with the value
//! let prefix = stack.queue_prefix("orders");    // its own exchange and queue names
//! let (database_url, amqp_url) = (database.url(), stack.amqp_url());
//! # let _ = (prefix, database_url, amqp_url);
//! ```

mod database;
mod stack;

pub use database::TestDatabase;
pub use stack::TestStack;

#[cfg(test)]
mod tests;
