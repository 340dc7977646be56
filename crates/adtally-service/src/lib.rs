//! What every AdTally process starts and ends with: logging, configuration that names its faults,
//! signals, health and metrics, exit codes.

mod args;
mod client;
pub mod clock;
mod exit;
mod health;
mod health_server;
mod http;
pub mod logging;
pub mod metrics;
mod obstacle;
mod outage;
mod rlimit;
mod secret;
mod shutdown;
mod url_fault;

pub use args::{
    Broker, BrokerArgs, Database, DatabaseArgs, HealthArgs, ZoneArgs, path_or_empty, switch,
};
pub use client::ClientNetwork;
pub use exit::{ExitKind, Failure, ResultExt, report, run_main, serve};
pub use health::{Check, Health, Readiness};
pub use health_server::{HEALTH_PATHS, HealthServer, health_routes};
pub use http::{HeadLimits, HttpOptions, accepted_connections, serve_http};
pub use logging::{LogArgs, LogFormat};
pub use obstacle::watch_obstacles;
pub use outage::Outage;
pub use rlimit::check_open_files;
pub use secret::{SecretUrl, redact};
pub use shutdown::Shutdown;
