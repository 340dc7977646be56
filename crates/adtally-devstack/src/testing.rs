//! One PostgreSQL and one RabbitMQ server per test process.
//!
//! `ADTALLY_TEST_SERVERS` says of which Debian release they are: `debian12` or `debian13`. Unset, they
//! are the system's.
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
mod pooler;
mod servers;
mod stack;

pub use database::TestDatabase;
pub use pooler::PgBouncer;
pub use servers::{pgbouncer, programs};
pub use stack::TestStack;

#[cfg(test)]
mod tests;
