//! Log lines to standard error, `RUST_LOG` to choose them.
//!
//! `error` means a person must act; `warn` that something was refused, lost or retried; `info` a
//! change of state; `debug` each step. No level shows visitor data or secrets.

use env_logger::Env;

/// Our own crates tell their changes of state. The client libraries stay out of it: what they
/// meet, ours report.
const PROCESS: &str = "warn,adtally=info,lapin=off,tracing=off";
/// A tool says what it has to say on standard output.
const TOOL: &str = "warn,lapin=off,tracing=off";

/// Starts the logging of a process that serves, unless `RUST_LOG` says otherwise.
pub fn init() {
    start(PROCESS);
}

/// Starts the logging of a command a person runs, unless `RUST_LOG` says otherwise.
pub fn init_tool() {
    start(TOOL);
}

/// A second call does nothing, so that tests may run several processes' code in one.
fn start(default: &str) {
    let _already_started = env_logger::Builder::from_env(Env::default().default_filter_or(default))
        .format_timestamp_millis()
        .try_init();
}
