//! Log lines to standard error, `RUST_LOG` to choose them.
//!
//! `error` means a person must act; `warn` that something was refused, lost or retried; `info` a
//! change of state; `debug` each step. No level shows visitor data or secrets.

use env_logger::{Builder, Env};
use log::LevelFilter;

/// Our own crates tell their changes of state.
const PROCESS: &str = "warn,adtally=info";
/// A tool says what it has to say on standard output.
const TOOL: &str = "warn";

/// Libraries that stay out of the log unless `RUST_LOG` names them: what they meet, our crates
/// report. `actix_http` makes an error of each malformed request, which any client can send.
const QUIET: [&str; 3] = ["actix_http", "lapin", "tracing"];

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
    let _already_started = quiet()
        .parse_env(Env::default().default_filter_or(default))
        .format_timestamp_millis()
        .try_init();
}

/// What is parsed into it later stands over it.
fn quiet() -> Builder {
    let mut builder = Builder::new();
    for library in QUIET {
        builder.filter_module(library, LevelFilter::Off);
    }
    builder
}

#[cfg(test)]
mod tests {
    use log::{Level, Log, Metadata};

    use super::*;

    fn shows(filters: &str, target: &str, level: Level) -> bool {
        let logger = quiet().parse_filters(filters).build();
        logger.enabled(&Metadata::builder().target(target).level(level).build())
    }

    #[test]
    fn libraries_are_quiet_unless_they_are_named() {
        for filters in [PROCESS, TOOL, "info", "trace"] {
            for target in [
                "actix_http::h1::dispatcher",
                "lapin::channel",
                "tracing::span",
            ] {
                assert!(!shows(filters, target, Level::Error), "{filters} {target}");
            }
            assert!(
                shows(filters, "actix_server::accept", Level::Error),
                "{filters}"
            );
        }
        assert!(shows(
            "info,actix_http=error",
            "actix_http::h1",
            Level::Error
        ));
        assert!(shows("lapin=debug", "lapin::channel", Level::Debug));
        let one = "info,lapin::channel=warn";
        assert!(shows(one, "lapin::channel", Level::Warn));
        assert!(!shows(one, "lapin::connection", Level::Error));
    }
}
