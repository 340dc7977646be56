//! Log lines to standard error, `RUST_LOG` to choose them.
//!
//! `error` means a person must act; `warn` that something was refused, lost or retried; `info` a
//! change of state; `debug` each step. No level shows visitor data or secrets.

use env_logger::Env;

/// Starts logging; `info` and above unless `RUST_LOG` says otherwise.
///
/// A second call does nothing, so that tests may run several processes' code in one.
pub fn init() {
    let quiet_libraries = "info,lapin=off,actix_server=warn,actix_web=warn,async_rs=warn";
    let _already_started =
        env_logger::Builder::from_env(Env::default().default_filter_or(quiet_libraries))
            .format_timestamp_millis()
            .try_init();
}
