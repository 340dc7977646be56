//! Private PostgreSQL and RabbitMQ servers, for `adtally dev` and for tests.
//!
//! The servers come from the distribution's packages ([`packages::ensure`]), listen on free
//! loopback ports, keep everything in one directory each, and end with the process that started
//! them, however it ends: a small shell, the reaper, reads a pipe that only this process can
//! write to, and ends what is left when the pipe closes. Linux only.
//!
//! ```no_run
//! # async fn demo() -> Result<(), adtally_devstack::DevstackError> {
//! use adtally_devstack::{PostgresOptions, PostgresServer, packages};
//!
//! let programs = packages::ensure(packages::Install::Forbidden).await?;
//! let postgres = PostgresServer::start(PostgresOptions::new(&programs)).await?;
//! assert_eq!(postgres.psql("SELECT 1").await?, "1");
//! postgres.stop().await;
//! # Ok(())
//! # }
//! ```

mod account;
mod directory;
mod error;
mod log_excerpt;
pub mod packages;
mod ports;
mod postgres;
mod process;
mod rabbitmq;
mod reaper;
mod run;
mod secret;
mod startup;
pub mod testing;

pub use directory::{DirectoryLock, Storage};
pub use error::DevstackError;
pub use packages::ServerPrograms;
pub use ports::free_port;
pub use postgres::{PostgresOptions, PostgresServer};
pub use process::{LogTarget, ManagedProcess, ProcessOptions, Stage};
pub use rabbitmq::{Host, RabbitmqCluster, RabbitmqOptions, RabbitmqServer};
pub use rustix::process::Signal;
